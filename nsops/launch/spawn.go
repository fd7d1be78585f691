package launch

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// The last steps: find the command, give birth to the child, become the command.

// lookup finds the command as exec.LookPath does for runc, with the process's
// final rights. It returns the execve step, not yet added.
func (c *compiler) lookup() *Step {
	p := c.plan.Process
	exec := &Step{
		Name: "execve", Nr: unix.SYS_EXECVE, Stage: StageExec, Doing: "run the command", Origin: c.origin("Args"), exit: exitExec,
		Args: []Arg{named(0, "path"), table(p.Args, fmt.Sprintf("%q", p.Args)), table(p.Env, fmt.Sprintf("{%d variables}", len(p.Env)))},
	}
	c.execTools(exec)
	name := p.Args[0]
	if rel, ok := c.inTools(name); ok {
		c.checkTool(rel, exec)
		return exec
	}
	if strings.Contains(name, "/") {
		if !c.childFinds(name) {
			c.checkPath(name)
		}
		exec.Args[pathArg(exec)] = str(name)
		return exec
	}
	if !c.childSearches(name) {
		c.searchPath(name, exec)
	}
	return exec
}

// childsOwn are names of what the asking process has. Of /dev they are links to /proc/self,
// which runtimes make (runc, setupDevSymlinks).
var childsOwn = []string{"/proc/self/", "/proc/thread-self/", "/dev/fd/", "/dev/stdin/", "/dev/stdout/", "/dev/stderr/"}

// ofChilds reports whether a path leads through what the container's /proc has of the
// process that asks: of the child, that is, since P is not in its PID namespace. What the
// child runs until its execve is no command for anybody.
func (c *compiler) ofChilds(path string) bool {
	path = filepath.Clean(path)
	for _, own := range childsOwn {
		if rest, ok := strings.CutPrefix(path+"/", own); ok {
			return c.contained && rest != "exe/"
		}
	}
	return false
}

// childFinds reports whether a command is the child's to look up: also if it is relative
// to a directory that is.
func (c *compiler) childFinds(name string) bool {
	return c.ofChilds(name) || strings.Contains(name, "/") && !filepath.IsAbs(name) && c.ofChilds(c.plan.Process.Cwd)
}

// childSearches reports whether a command is the child's to look for in PATH, which leads
// through what it has itself. Tools are found before it is born.
func (c *compiler) childSearches(name string) bool {
	if strings.Contains(name, "/") || c.plan.Tools != nil {
		return false
	}
	cwd := c.plan.Process.Cwd
	return slices.ContainsFunc(strings.Split(c.pathVariable(), ":"), func(dir string) bool {
		return c.ofChilds(dir) || !filepath.IsAbs(dir) && c.ofChilds(cwd)
	})
}

// lookAsChild adds the look-ups that only the child can make, as runc's does: it has
// nothing open but its own streams, and the rights of the command.
func (c *compiler) lookAsChild(exec *Step) {
	p := c.plan.Process
	if c.ofChilds(p.Cwd) {
		from := len(c.steps)
		c.add(c.chdirStep())
		c.verifyCwd()
		c.exitFrom(from, exitCwd)
	}
	if _, ok := c.inTools(p.Args[0]); !ok && c.childFinds(p.Args[0]) {
		from := len(c.steps)
		c.checkPath(p.Args[0])
		c.exitFrom(from, exitLookup)
	}
	if c.childSearches(p.Args[0]) {
		from := len(c.steps)
		c.searchPath(p.Args[0], exec)
		c.exitFrom(from, exitLookup)
	}
}

// exitFrom gives the steps from an index on their exit code.
func (c *compiler) exitFrom(index int, code uint64) {
	for _, s := range c.steps[index:] {
		s.exit = code
	}
}

// stat adds the question whether path is there, with the rights of the process:
// faccessat(2) would ask with those of its real user.
func (c *compiler) stat(doing, origin, path string) *Step {
	s := c.call(doing, origin, "newfstatat", sysFstatat, named(atFdcwd, "AT_FDCWD"), str(path), space(256, "stat"), num(0))
	s.Stage = StageLookup
	return s
}

// mayExecute adds the question whether the process may execute path, as Go's
// exec.LookPath asks it. The older call asks for the real user, without the
// capabilities that only the process has.
func (c *compiler) mayExecute(path string) *Step {
	args := []Arg{named(atFdcwd, "AT_FDCWD"), str(path), named(unix.X_OK, "X_OK"), named(unix.AT_EACCESS, "AT_EACCESS")}
	s := &Step{Name: "faccessat2", Nr: unix.SYS_FACCESSAT2, Args: args, Doing: "see that it may be executed", Stage: StageLookup}
	if !c.plan.Kernel.Faccessat2 || !c.permits(unix.SYS_FACCESSAT2) {
		s.Name, s.Nr, s.Args = "faccessat", unix.SYS_FACCESSAT, args[:3]
	}
	return c.add(s)
}

// isDir adds the question whether path is a directory: zero if it is.
func (c *compiler) isDir(path string) *Step {
	s := c.stat("see that it is no directory", "", path+"/.")
	s.onError = goNext
	return s
}

// checkPath refuses a path in the order of Go's findExecutable: not there, a
// directory, not executable.
func (c *compiler) checkPath(path string) {
	c.stat("find the command", "Args", path)
	dir := c.isDir(path)
	file := newLabel()
	dir.onError = file
	c.fail("refuse a directory", StageLookup, unix.EISDIR)
	c.add(file)
	c.mayExecute(path)
}

// searchPath tries each directory of PATH and stores the path that serves in exec.
func (c *compiler) searchPath(name string, exec *Step) {
	found := newLabel()
	for _, dir := range strings.Split(c.pathVariable(), ":") {
		if dir == "" {
			dir = "." // Unix: an empty element is the working directory
		}
		if rel, ok := c.inTools(dir); ok {
			c.lookTool(rel+"/"+name, exec, found)
			continue
		}
		c.searchDir(dir, name, exec, found)
	}
	c.fail("find the command in PATH", StageLookup, unix.ENOENT)
	c.add(found)
}

func (c *compiler) searchDir(dir, name string, exec, found *Step) {
	path := filepath.Join(dir, name) // as exec.LookPath does
	next := newLabel()
	look := c.stat("look for the command", "Env[PATH]", path)
	look.onError = next
	c.isDir(path).onZero = next
	c.mayExecute(path).onError = next
	if !strings.HasPrefix(dir, "/") {
		// exec.ErrDot: Go refuses a command found relative to the directory.
		c.fail("refuse a command found relative to the working directory", StageLookup, unix.EXDEV)
		c.add(next)
		return
	}
	if !c.child { // it has no report page
		c.set("tell dx", &slot{addr: statusBase + offReportPath}, Arg{text: "path", share: &look.Args[1]})
	}
	take := c.set("take it", &slot{step: exec, arg: pathArg(exec)}, Arg{text: "path", share: &look.Args[1]})
	take.onPositive = found
	c.add(next)
}

// pathVariable is the last PATH of the environment, as getenv after runc's
// deduplication sees it.
func (c *compiler) pathVariable() string {
	path := ""
	for _, e := range c.plan.Process.Env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			path = v
		}
	}
	return path
}

// Exit codes of a child that could not become the command: the errno behind one
// of these. The keeper tells them from the command's own codes
// (beKept), dx by PF_FORKNOEXEC. No errno of these calls is over 63, but execve's ELIBBAD,
// which would be taken for a failed chdir where the child makes one.
const (
	exitExec   = 0
	exitCwd    = 64
	exitTTY    = 128
	exitLookup = 192
)

// keepReport lets the child have no report page: it holds nothing of the host.
func (c *compiler) keepReport() {
	c.call("keep the report page from the child", "", "madvise", unix.SYS_MADVISE,
		named(statusBase, "REPORT"), num(pageSize), named(unix.MADV_DONTFORK, "MADV_DONTFORK"))
}

// stayHidden is for after setgid and setuid, which may have made P one that a process
// of the same user may trace (fs.suid_dumpable is 1): on the host, where a user of that
// number may be anybody.
func (c *compiler) stayHidden() { c.hide("stay undumpable").own = true }

// spawn lets P give birth to the child and end. CLONE_PARENT makes the child
// the keeper's, or in a program without one dx's own; CLONE_VFORK keeps P until the
// child has become the command or has failed; CLONE_PARENT_SETTID leaves its PID in
// the report page.
func (c *compiler) spawn() {
	if c.late != nil {
		c.birth(unix.CLONE_PTRACE, "|CLONE_PTRACE") // P's end lets the keeper go on
	} else {
		c.birth(unix.CLONE_VFORK, "|CLONE_VFORK")
	}
	c.set("report failures by exit code", &slot{addr: dataBase}, named(scratch, "SCRATCH"))
}

// birth lets P clone the child and end; what follows is the child's.
func (c *compiler) birth(more int, name string) {
	flags := unix.CLONE_PARENT | more | unix.CLONE_PARENT_SETTID | int(unix.SIGCHLD)
	clone := c.call("start the process", "", "clone", unix.SYS_CLONE,
		named(flags, "CLONE_PARENT"+name+"|CLONE_PARENT_SETTID|SIGCHLD"), num(0), named(statusBase+offReportChild, "&REPORT.child"), num(0), num(0))
	born := newLabel()
	clone.onZero, clone.own, clone.birth = born, true, true
	c.call("end: the child is on its own", "", "exit_group", unix.SYS_EXIT_GROUP, num(0)).own = true
	c.child = true
	c.add(born)
}

func (c *compiler) newSession() {
	c.call("lead a session of its own", "runc", "setsid", unix.SYS_SETSID).own = true
	if !c.plan.Process.Terminal {
		return
	}
	tty := c.call("take the terminal", "Terminal", "ioctl", unix.SYS_IOCTL, num(0), named(unix.TIOCSCTTY, "TIOCSCTTY"), num(0))
	tty.exit, tty.own = exitTTY, true
}
