package janitor

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"dx/e2e/world"
)

// cgroupsOf lists the cgroups of the containers, parents first. The ID is part
// of the directory's name with either driver: docker/ID, docker-ID.scope.
func cgroupsOf(ids []string) ([]string, error) {
	hierarchies, err := world.Hierarchies()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, h := range hierarchies {
		_ = filepath.WalkDir(h.Mount, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && slices.ContainsFunc(ids, func(id string) bool { return strings.Contains(path, id) }) {
				out = append(out, path)
			}
			return nil // one that has just gone is not an error
		})
	}
	return out, nil
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
