package top

import (
	"bytes"
	"errors"
	"os"
	"strconv"

	"dx/dockerx/membership"
	"dx/nsops/launch"
	"dx/nsops/rootfs"
)

// tasksBelow are a process and what descends from it.
func tasksBelow(tasks []Task, root int) []Task {
	f := newForest(tasks)
	var out []Task
	for i := range tasks {
		if f.below(i, root) {
			out = append(out, tasks[i])
		}
	}
	return out
}

// forest finds the ancestors of tasks among them, each step once.
type forest struct {
	tasks []Task
	index map[int]int // PID → task
	roots map[int]int // PID → PID of its topmost ancestor
}

func newForest(tasks []Task) *forest {
	f := &forest{tasks: tasks, index: make(map[int]int, len(tasks)), roots: make(map[int]int, len(tasks))}
	for i := range tasks {
		f.index[tasks[i].PID] = i
	}
	return f
}

// root is the topmost ancestor of a task that is a task as well. /proc is not read at
// one moment: a PID may have been taken by a descendant meanwhile, and the walk up
// stops where it has been before.
func (f *forest) root(i int) int {
	return f.climb(i, func(Task) bool { return false })
}

// below reports whether a task is, or descends from, the one with that PID.
func (f *forest) below(i, pid int) bool {
	return f.climb(i, func(t Task) bool { return t.PID == pid }) == pid
}

func (f *forest) climb(i int, stop func(Task) bool) int {
	var path []int
	seen := map[int]bool{}
	var top int
	for {
		t := f.tasks[i]
		if known, ok := f.roots[t.PID]; ok {
			top = known
			break
		}
		top = t.PID
		path = append(path, t.PID)
		seen[t.PID] = true
		parent, ok := f.index[t.PPID]
		if !ok || stop(t) || seen[t.PPID] {
			break
		}
		i = parent
	}
	for _, pid := range path {
		f.roots[pid] = top
	}
	return top
}

// tellWays says of each task how it came into the container. Who was put into the
// cgroup has a parent outside of the container; who came by its namespaces is not in
// the cgroup, whoever its parent has become.
func (t *topper) tellWays() {
	tasks, init := t.top.Tasks, t.c.Process.PID
	f := newForest(tasks)
	for i := range tasks {
		root := tasks[f.index[f.root(i)]]
		switch {
		case tasks[i].PID == init:
			tasks[i].Via = ViaInit
		case tasks[i].answer.By == membership.ByDescent:
		case len(t.scope.Cgroups) > 0 && !tasks[i].inCgroup():
			tasks[i].Via = ViaNsenter
		case root.PID == init, t.scope.IsEmpty(), t.isOrphan(root):
		case root.inCgroup():
			tasks[i].Via = ViaExec
		default:
			tasks[i].Via = ViaNsenter
		}
	}
}

// isOrphan tells what a shim has inherited from what it started, where orphans do not
// fall to the container's init because the PID namespace is not its own: what docker
// exec starts leads a session of its own. An orphan that does as well looks like it.
func (t *topper) isOrphan(root Task) bool {
	return t.scope.PID.IsZero() && root.PPID == t.parent && root.Session != root.PID
}

// nameUsers takes the names from the container's own /etc/passwd.
func (t *topper) nameUsers() {
	wanted := map[int]string{}
	for _, task := range t.top.Tasks {
		if task.ContainerUID != nil {
			wanted[int(*task.ContainerUID)] = ""
		}
	}
	root, err := t.c.Root()
	if err != nil && t.c.Ref == "host" {
		var dir *os.File
		if dir, err = os.Open("/"); err == nil { // an init with more rights than dx
			defer dir.Close()
			root = rootfs.At(dir, t.c.Deputy(), t.c.Name)
		}
	}
	if err != nil {
		return // not for this caller to see: numbers do
	}
	defer root.Close()
	passwd, err := root.ReadFile("/etc/passwd")
	if errors.Is(err, launch.ErrSilent) {
		t.c.Warn(err.Error() + "; users are shown by their numbers")
	}
	if err != nil {
		return // none, or not what it should be
	}
	passwdNames(passwd, wanted)
	for i, task := range t.top.Tasks {
		if task.ContainerUID != nil {
			t.top.Tasks[i].User = wanted[int(*task.ContainerUID)]
		}
	}
}

// passwdNames fills in the first name that a passwd file (passwd(5)) has for each uid.
// Lines that are none are skipped.
func passwdNames(passwd []byte, wanted map[int]string) {
	for line := range bytes.Lines(passwd) {
		f := bytes.SplitN(line, []byte(":"), 4)
		if len(f) < 4 || len(f[0]) == 0 || len(f[0]) > maxName {
			continue
		}
		uid, err := strconv.Atoi(string(f[2]))
		if name, ok := wanted[uid]; err == nil && ok && name == "" {
			wanted[uid] = string(f[0])
		}
	}
}

// maxName bounds a user's name: that of utmp(5) has 32 bytes.
const maxName = 256
