package world

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Hierarchy is a cgroup file system that is mounted.
type Hierarchy struct {
	Mount   string
	V2      bool
	Options string // of the mount, for a v1 hierarchy: "memory", "name=systemd"
}

// Hierarchies lists the cgroup file systems mounted here, each once.
func Hierarchies() ([]Hierarchy, error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out []Hierarchy
	add := func(h Hierarchy) {
		if !slices.ContainsFunc(out, func(o Hierarchy) bool { return o.V2 == h.V2 && o.Options == h.Options }) {
			out = append(out, h)
		}
	}
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		fields := strings.Fields(sc.Text())
		dash := slices.Index(fields, "-")
		if dash < 0 || dash+3 >= len(fields) {
			continue
		}
		switch fields[dash+1] {
		case "cgroup":
			add(Hierarchy{Mount: fields[4], Options: controllers(fields[dash+3])})
		case "cgroup2":
			add(Hierarchy{Mount: fields[4], V2: true})
		}
	}
	return out, sc.Err()
}

// controllers picks what names a v1 hierarchy from its mount's options.
func controllers(options string) string {
	var out []string
	for o := range strings.SplitSeq(options, ",") {
		if o != "rw" && o != "ro" && o != "xattr" && o != "clone_children" && !strings.HasPrefix(o, "release_agent=") {
			out = append(out, o)
		}
	}
	return strings.Join(out, ",")
}

// cgroup is a directory of the world's in one hierarchy.
type cgroup struct {
	Hierarchy
	dir    string
	before string // where the keeper is itself
}

type cgroups []cgroup

// makeCgroups makes a cgroup for the world in each hierarchy: below the caller's
// own, whose limits hold; on v2, where one with processes has no children that
// matter, at the root.
func makeCgroups(name string) (cgroups, error) {
	hierarchies, err := Hierarchies()
	if err != nil {
		return nil, err
	}
	var out cgroups
	for _, h := range hierarchies {
		own, err := h.own()
		if err != nil {
			return out, err
		}
		g := cgroup{Hierarchy: h, before: own, dir: filepath.Join(own, name)}
		if h.V2 {
			g.dir = filepath.Join(h.Mount, name)
		}
		if err := os.Mkdir(g.dir, 0o755); err != nil {
			return out, err
		}
		out = append(out, g)
		if err := g.fill(); err != nil {
			return out, err
		}
	}
	return out, nil
}

// own is the directory of this process's own cgroup in the hierarchy.
func (h Hierarchy) own() (string, error) {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(b)) {
		f := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(f) == 3 && (h.V2 && f[0] == "0" || !h.V2 && f[1] == h.Options) {
			return filepath.Join(h.Mount, f[2]), nil
		}
	}
	return "", fmt.Errorf("/proc/self/cgroup has no line for %s", h.Mount)
}

// fill gives a new v1 cpuset what its parent has: without it no process may enter.
func (g cgroup) fill() error {
	if !slices.Contains(strings.Split(g.Options, ","), "cpuset") {
		return nil
	}
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		b, err := os.ReadFile(filepath.Join(g.before, file))
		if err == nil {
			err = os.WriteFile(filepath.Join(g.dir, file), b, 0)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (groups cgroups) join() error {
	return groups.each(func(g cgroup) error { return enterCgroup(g.dir) })
}
func (groups cgroups) leave() error {
	return groups.each(func(g cgroup) error { return enterCgroup(g.before) })
}

func (groups cgroups) each(do func(cgroup) error) error {
	var errs []error
	for _, g := range groups {
		errs = append(errs, do(g))
	}
	return errors.Join(errs...)
}

// enterCgroup moves this process into a cgroup.
func enterCgroup(dir string) error {
	return os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte("0"), 0)
}

func (groups cgroups) thaw() {
	for _, g := range groups {
		Thaw(Below(g.dir))
	}
}

// remove removes the world's cgroups.
func (groups cgroups) remove() error {
	return groups.each(func(g cgroup) error { return Remove(Below(g.dir)) })
}

// Below lists a cgroup and all cgroups below it, parents first.
func Below(dir string) []string {
	var out []string
	_ = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			out = append(out, path)
		}
		return nil // one that has just gone is not an error
	})
	return out
}

// Thaw lets frozen processes die: a v1 freezer keeps even SIGKILL pending.
func Thaw(dirs []string) {
	for _, dir := range dirs {
		for file, value := range map[string]string{"freezer.state": "THAWED", "cgroup.freeze": "0"} {
			if f, err := os.OpenFile(filepath.Join(dir, file), os.O_WRONLY, 0); err == nil {
				_, _ = f.WriteString(value) // what stays frozen is reported by who waits for it
				f.Close()
			}
		}
	}
}

// Remove removes cgroups, children first.
func Remove(dirs []string) error {
	var errs []error
	for _, dir := range slices.Backward(dirs) {
		if err := removeCgroup(dir); err != nil {
			errs = append(errs, fmt.Errorf("remove cgroup %s: %w", dir, err))
		}
	}
	return errors.Join(errs...)
}

// removeCgroup removes one; the last process that left it may not be reaped yet.
func removeCgroup(dir string) error {
	var err error
	for range 500 {
		err = unix.Rmdir(dir)
		if err == nil || errors.Is(err, unix.ENOENT) {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}
