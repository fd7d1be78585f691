package host

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path"
	"strconv"
	"strings"

	"dx/nsops/cgroup"
	"dx/nsops/proc"
)

// maxCgroups bounds how many cgroups of a container are looked at: it may divide
// its own without end.
const maxCgroups = 4096

// Procs returns the PIDs in the cgroup of the container with that ID and in those
// below it, limit at the most. p is a process of the container; none are returned
// where its cgroup is not the container's, or not mounted here.
func Procs(p *proc.Process, id string, limit int) ([]int, error) {
	dirs, err := cgroup.Dirs(p)
	if err != nil {
		return nil, err
	}
	for _, d := range dirs {
		if top, ok := cutAt(d.Path, id); ok {
			return procsBelow(top, limit), nil
		}
	}
	return nil, nil
}

func procsBelow(top string, limit int) []int {
	var pids []int
	dirs := []string{top}
	for i := 0; i < len(dirs) && len(pids) < limit; i++ {
		pids = append(pids, readProcs(dirs[i], limit-len(pids))...)
		dirs = append(dirs, subdirs(dirs[i], maxCgroups-len(dirs))...)
	}
	return pids
}

// readProcs reads a cgroup.procs. A cgroup that is gone or threaded has none; a
// process outside dx's PID namespace is called 0.
func readProcs(dir string, limit int) []int {
	f, err := os.Open(path.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil
	}
	defer f.Close()
	var pids []int
	for sc := bufio.NewScanner(f); len(pids) < limit && sc.Scan(); {
		if pid, err := strconv.Atoi(strings.TrimSpace(sc.Text())); err == nil && pid > 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

func subdirs(dir string, limit int) []string {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	var out []string
	for limit > len(out) {
		entries, err := f.ReadDir(256)
		for _, e := range entries {
			if e.IsDir() && len(out) < limit {
				out = append(out, path.Join(dir, e.Name()))
			}
		}
		if errors.Is(err, io.EOF) || len(entries) == 0 {
			break
		}
	}
	return out
}
