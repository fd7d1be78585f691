package launch

import (
	"fmt"
	"math"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Tools is a directory of programs that the command gets as a descriptor: ToolsFD,
// the only one besides 0, 1 and 2. Where PATH has a directory below ToolsRoot, the
// command is looked for in it.
type Tools struct {
	File *os.File // O_PATH on the root of a detached mount
}

// ToolsFD is the tools' descriptor in the command: behind those that scripts use
// (3 to 9), shells keep for themselves (10 on, 255) and bash gives away (63 and
// down).
const ToolsFD = 99

// ToolsRoot is where the command and its children find the tools.
const ToolsRoot = "/proc/self/fd/99"

// keepTools moves the tools to their number before the limit of open files is set:
// it may be lower.
func (c *compiler) keepTools() {
	if c.plan.Tools == nil {
		return
	}
	c.call("keep the tools", "--tools", "dup3", unix.SYS_DUP3, c.file(c.plan.Tools.File, "tools"), named(ToolsFD, "TOOLS"), num(0))
}

// closeAllFiles closes what is open but 0, 1, 2 and the tools.
func (c *compiler) closeAllFiles() {
	last := named(uint64(math.MaxUint32), "~0U")
	first := num(firstFile)
	if c.plan.Tools != nil {
		c.closeRange(first, num(ToolsFD-1))
		first = num(ToolsFD + 1)
	}
	c.closeRange(first, last)
}

func (c *compiler) closeRange(first, last Arg) {
	c.call("close every file of the host", "", "close_range", unix.SYS_CLOSE_RANGE, first, last, num(0))
}

// inTools cuts ToolsRoot off a path.
func (c *compiler) inTools(name string) (rel string, ok bool) {
	if c.plan.Tools == nil {
		return "", false
	}
	if name = path.Clean(name); name == ToolsRoot {
		return ".", true
	}
	return strings.CutPrefix(name, ToolsRoot+"/")
}

// execTools makes an execve one of a path relative to a descriptor, which needs no
// /proc: the tools' where the command is one of them, else the path is absolute.
func (c *compiler) execTools(exec *Step) {
	if c.plan.Tools == nil || !c.permits(unix.SYS_EXECVEAT) {
		return
	}
	exec.Name, exec.Nr = "execveat", unix.SYS_EXECVEAT
	exec.Args = append(append([]Arg{named(atFdcwd, "AT_FDCWD")}, exec.Args...), num(0))
}

// pathArg is which argument of the last step is the path.
func pathArg(exec *Step) int {
	if exec.Nr == unix.SYS_EXECVEAT {
		return 1
	}
	return 0
}

// lookTool looks for a program of the tools by its descriptor: P is not in the PID
// namespace that the container's /proc is of, and has no /proc/self there. It goes
// to found if it may be executed.
func (c *compiler) lookTool(rel string, exec, found *Step) {
	next := newLabel()
	fd := named(ToolsFD, "TOOLS")
	look := c.call("look for the command in the tools", "--tools", "newfstatat", sysFstatat, fd, str(rel), space(256, "stat"), num(0))
	look.onError = next
	dir := c.call("see that it is no directory", "", "newfstatat", sysFstatat, fd, str(rel+"/."), space(256, "stat"), num(0))
	dir.onZero, dir.onError = next, goNext
	may := c.mayExecute(rel)
	may.Args[0], may.onError = fd, next
	full := str(ToolsRoot + "/" + rel)
	if pathArg(exec) == 1 {
		c.set("it is one of the tools", &slot{step: exec, arg: 0}, fd)
		full = Arg{text: fmt.Sprintf("%q", rel), share: &look.Args[1]}
	}
	take := c.set("take it", &slot{step: exec, arg: pathArg(exec)}, full)
	take.onPositive = found
	c.add(next)
}

// checkTool is checkPath for a tool that the command line names in full.
func (c *compiler) checkTool(rel string, exec *Step) {
	found := newLabel()
	c.lookTool(rel, exec, found)
	c.fail("find the command in the tools", StageLookup, unix.ENOENT)
	c.add(found)
}
