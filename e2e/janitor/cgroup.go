package janitor

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// hierarchies lists where cgroup file systems are mounted here.
func hierarchies() []string {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	defer f.Close()
	var out []string
	for sc := bufio.NewScanner(f); sc.Scan(); {
		fields := strings.Fields(sc.Text())
		dash := slices.Index(fields, "-")
		if dash < 0 || dash+1 >= len(fields) {
			continue
		}
		if strings.HasPrefix(fields[dash+1], "cgroup") {
			out = append(out, fields[4])
		}
	}
	return out
}

// cgroupParents lists the folders that engines of the cgroupfs driver share
// ("docker") and that are there already: those are not the scope's to remove.
func cgroupParents() []string {
	var out []string
	for _, root := range hierarchies() {
		if dir := filepath.Join(root, "docker"); exists(dir) {
			out = append(out, dir)
		}
	}
	return out
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// cgroupsOf lists the cgroups of the containers, parents first. The ID is part
// of the folder's name with either driver: docker/ID, docker-ID.scope.
func cgroupsOf(ids []string) []string {
	var out []string
	for _, root := range hierarchies() {
		_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && slices.ContainsFunc(ids, func(id string) bool { return strings.Contains(path, id) }) {
				out = append(out, path)
			}
			return nil // a folder that has just gone is not an error
		})
	}
	return out
}

// thaw lets frozen processes die: a v1 freezer keeps even SIGKILL pending.
func thaw(groups []string) {
	for _, g := range groups {
		for file, value := range map[string]string{"freezer.state": "THAWED", "cgroup.freeze": "0"} {
			if path := filepath.Join(g, file); exists(path) {
				_ = os.WriteFile(path, []byte(value), 0) // what stays frozen is reported by killAll
			}
		}
	}
}

// members lists the processes in the cgroups.
func members(groups []string) []int {
	var out []int
	for _, g := range groups {
		b, err := os.ReadFile(filepath.Join(g, "cgroup.procs"))
		if err != nil {
			continue // removed, or never created in this hierarchy
		}
		for _, f := range strings.Fields(string(b)) {
			// 0 is a process of another PID namespace: not to be killed as "0".
			if pid, err := strconv.Atoi(f); err == nil && pid > 0 {
				out = append(out, pid)
			}
		}
	}
	return out
}

// removeCgroups removes the cgroups, children first, and the shared parents that
// were not there before and that nobody else uses.
func removeCgroups(groups, before []string) error {
	var errs []error
	for _, g := range slices.Backward(groups) {
		if err := rmdir(g); err != nil {
			errs = append(errs, fmt.Errorf("remove cgroup %s: %w", g, err))
		}
	}
	for _, p := range cgroupParents() {
		if !slices.Contains(before, p) {
			_ = unix.Rmdir(p) // EBUSY: another engine has containers there
		}
	}
	return errors.Join(errs...)
}

// rmdir removes a cgroup; the last process that left it may not be reaped yet.
func rmdir(path string) error {
	var err error
	for range 200 {
		err = unix.Rmdir(path)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}
