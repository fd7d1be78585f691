package janitor

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dx/e2e/world"
)

// sweepTime is how long a killed process may take to be gone.
const sweepTime = 5 * time.Minute

// sweep removes all that belongs to the scope. It goes on after an error, so
// that one thing that cannot be removed does not keep the others.
func sweep(c Config) error {
	groups, err := cgroupsOf(containerIDs(c.Dir))
	world.Thaw(groups)
	return errors.Join(err,
		killAll(groups),
		unmountUnder(c.Dir),
		world.Remove(groups),
		os.RemoveAll(c.Dir),
	)
}

// containerIDs lists the containers of every data root under dir: DATA/containers/ID,
// one directory deeper with userns-remap (moby daemon/daemon_unix.go, setupRemappedRoot).
func containerIDs(dir string) []string {
	var ids []string
	for _, pattern := range []string{"*/containers/*", "*/*/containers/*"} {
		found, _ := filepath.Glob(filepath.Join(dir, pattern))
		for _, path := range found {
			if id := filepath.Base(path); len(id) == 64 {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

// killAll ends the janitor's descendants and what sits in the scope's cgroups
// (a process that dx left running there is nobody's descendant).
func killAll(groups []string) error {
	for end := time.Now().Add(sweepTime); ; time.Sleep(5 * time.Millisecond) {
		reap()
		pids := append(descendants(os.Getpid()), members(groups)...)
		if len(pids) == 0 {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("processes %v survive SIGKILL for %v", pids, sweepTime)
		}
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL) // ESRCH: it is gone
		}
	}
}

// descendants lists the processes below root, by the parents in /proc/PID/stat.
func descendants(root int) []int {
	children := map[int][]int{}
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		b, err := os.ReadFile(path)
		if err != nil {
			continue // exited meanwhile
		}
		line := string(b)
		fields := strings.Fields(line[strings.LastIndexByte(line, ')')+1:])
		pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
		if len(fields) > 1 {
			ppid, _ := strconv.Atoi(fields[1])
			children[ppid] = append(children[ppid], pid)
		}
	}
	var out []int
	for queue := children[root]; len(queue) > 0; queue = queue[1:] {
		out = append(out, queue[0])
		queue = append(queue, children[queue[0]]...)
	}
	return out
}

// unmountUnder detaches every mount at or below dir, the latest first.
func unmountUnder(dir string) error {
	points, err := mountsUnder("/proc/self/mountinfo", dir)
	if err != nil {
		return err
	}
	slices.Reverse(points)
	var errs []error
	for _, p := range points {
		if err := unix.Unmount(p, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW); err != nil && !errors.Is(err, unix.EINVAL) {
			errs = append(errs, fmt.Errorf("unmount %s: %w", p, err))
		}
	}
	return errors.Join(errs...)
}

// mountsUnder lists the mount points at or below dir that a mountinfo file names.
func mountsUnder(mountinfo, dir string) ([]string, error) {
	f, err := os.Open(mountinfo)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []string
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		fields := strings.Fields(sc.Text())
		if len(fields) > 4 && (fields[4] == dir || strings.HasPrefix(fields[4], dir+"/")) {
			out = append(out, fields[4])
		}
	}
	return out, sc.Err()
}
