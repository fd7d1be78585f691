package launch

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Program is a compiled plan.
type Program struct {
	Steps []*Step

	files []*os.File // descriptors 3, 4, … of P; statusFile stands for the report page
	names []string   // what they are, for --explain

	init   bool                // the child is an init that starts the command
	paused func(pid int) error // what is to be done while P has stopped itself; may be nil
}

// statusFile holds the place of the report page among a program's files.
var statusFile = (*os.File)(nil)

// firstFile is the descriptor of files[0] in P.
const firstFile = 3

// Compile turns a plan into a program. It makes no system call.
//
// Where the container's seccomp filter lets through what is still to come, the
// filter is in place before the child is born. Where it does not, the child
// installs it itself, as runc's does (libcontainer/setns_init_linux.go).
func Compile(plan *Plan) (*Program, error) {
	if len(plan.Process.Args) == 0 {
		return nil, errors.New("no command to run")
	}
	for _, list := range [][]string{plan.Process.Args, plan.Process.Env, {plan.Process.Cwd, plan.Keyring}} {
		if err := checkStrings(list); err != nil {
			return nil, err
		}
	}
	c := &compiler{plan: plan}
	if err := c.build(bornClean); err != nil {
		return nil, err
	}
	if c.filterDenies() != nil {
		c = &compiler{plan: plan}
		if err := c.build(filterInChild); err != nil {
			return nil, err
		}
	}
	return &Program{Steps: c.steps, files: c.files, names: c.names}, nil
}

// checkStrings refuses what execve(2) could not carry.
func checkStrings(list []string) error {
	for _, s := range list {
		for i := range len(s) {
			if s[i] == 0 {
				return fmt.Errorf("%q holds a NUL byte, which no argument or variable of a process can", s)
			}
		}
	}
	return nil
}

// order is where the child is born.
type order int

const (
	bornClean     order = iota // after everything but setsid, the terminal and execve
	filterInChild              // the child installs the seccomp filter
)

type compiler struct {
	plan  *Plan
	steps []*Step
	files []*os.File
	names []string

	child  bool  // steps are the child's from here on
	filter *Step // the step that installs the seccomp filter
	err    error // the first impossible value
}

func (c *compiler) build(o order) error {
	nnp := c.plan.Process.NoNewPrivileges
	// Without no_new_privs a filter needs CAP_SYS_ADMIN, which the process is
	// about to lose: whoever installs it does the rest too.
	early := o == filterInChild && !nnp

	c.begin()
	c.keepTools()
	c.shed()
	attrs := c.openAttributes()
	c.enterCgroups()
	c.writeAttributes(attrs)
	c.limits()
	c.join(true)
	c.enterRoot()
	c.joinKeyring()
	c.confine(attrs)
	c.schedule()
	c.closeHostFiles()
	if early {
		c.spawn(false)
	}
	if !nnp {
		c.installFilter()
	}
	c.setCredentials()
	exec := c.lookup()
	if nnp {
		c.setNoNewPrivs()
	}
	if nnp && o == bornClean {
		c.installFilter()
	}
	if !early {
		c.spawn(true)
	}
	c.newSession()
	c.mountChildsProc()
	if nnp && o == filterInChild {
		c.installFilter()
	}
	c.add(exec)
	return c.err
}

// add appends a step that must succeed.
func (c *compiler) add(s *Step) *Step {
	s.child = c.child
	c.steps = append(c.steps, s)
	return s
}

// call appends a step that must succeed.
func (c *compiler) call(doing, origin, name string, nr uintptr, args ...Arg) *Step {
	return c.add(&Step{Name: name, Nr: uint64(nr), Args: args, Doing: doing, Origin: c.origin(origin)})
}

// try appends a step whose errors are no harm; errnos, where given, limits which.
func (c *compiler) try(doing, origin, name string, nr uintptr, errnos []unix.Errno, args ...Arg) *Step {
	s := c.call(doing, origin, name, nr, args...)
	s.onError, s.errnos = goNext, errnos
	return s
}

// set appends a pseudo call that stores a number.
func (c *compiler) set(doing string, to *slot, v Arg) *Step {
	return c.add(&Step{Name: "set", Nr: opSet, Args: []Arg{v}, Doing: doing, into: to})
}

// label appends a step that does nothing: a place to jump to.
func (c *compiler) label() *Step { return c.add(newLabel()) }

func newLabel() *Step { return &Step{Nr: opSet, Args: []Arg{num(0)}} }

// fail appends a pseudo call that ends the program with an error.
func (c *compiler) fail(doing string, stage Stage, e unix.Errno) *Step {
	return c.add(&Step{
		Name: "fail", Nr: opFail, Stage: stage, Doing: doing,
		Args: []Arg{named(uintptr(e), unix.ErrnoName(e))},
	})
}

// goNext is the jump target "the step behind".
var goNext = &Step{Name: "next"}

func (c *compiler) origin(key string) string {
	if o, ok := c.plan.Origins[key]; ok {
		return o
	}
	return key
}

// file gives a file of the plan a descriptor in P.
func (c *compiler) file(f *os.File, name string) Arg {
	for i := range c.files {
		if c.files[i] == f && c.names[i] == name {
			return named(firstFile+i, name)
		}
	}
	c.files = append(c.files, f)
	c.names = append(c.names, name)
	return named(firstFile+len(c.files)-1, name)
}

// bad remembers the first value that cannot be compiled.
func (c *compiler) bad(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

// filterDenies returns the first step behind the filter that it would not let
// through; nil if there is none.
func (c *compiler) filterDenies() *Step {
	behind := false
	for _, s := range c.steps {
		if behind && s.Nr < opFail && !c.allows(s) {
			return s
		}
		behind = behind || s == c.filter && s != nil
	}
	return nil
}

func (c *compiler) allows(s *Step) bool {
	args := make([]uint64, len(s.Args))
	for i, a := range s.Args {
		args[i] = a.value
	}
	return c.plan.Seccomp.Allows(int(s.Nr), args...)
}

// octal shows a mask as people write it.
func octal(v uint32) Arg { return named(v, "0"+strconv.FormatUint(uint64(v), 8)) }
