package launch

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"dx/nsops/seccomp"
)

// Program is a compiled plan.
type Program struct {
	Steps []*Step

	files []*os.File  // descriptors 3, 4, … of P; statusFile stands for the report page
	names []string    // what they are, for --explain
	key   seccomp.Key // of the exceptions from the filter; zero without any

	atLimit func() (*Program, error) // for a container at its limit of processes; may be nil
	shed    bool                     // of what dx has inherited: the kernel has no close_range for it
	kept    bool                     // by a keeper, which is the first process
	init    bool                     // the child is an init that starts the command
	paused  func(pid int) error      // what is to be done while P has stopped itself; may be nil
}

// statusFile holds the place of the report page among a program's files.
var statusFile = (*os.File)(nil)

// firstFile is the descriptor of files[0] in P.
const firstFile = 3

// Compile turns a plan into a program. It makes no system call.
//
// The container's seccomp filter is in place before the child is born: of those of
// P's and the child's calls that it denies and that no runtime would have to make
// behind it, it lets just these through (docs/decisions/006).
func Compile(plan *Plan) (*Program, error) {
	if len(plan.Process.Args) == 0 {
		return nil, errors.New("no command to run")
	}
	for _, list := range [][]string{plan.Process.Args, plan.Process.Env, {plan.Process.Cwd, plan.Keyring}} {
		if err := checkStrings(list); err != nil {
			return nil, err
		}
	}
	p, err := (&compiler{plan: plan}).compile()
	if late := plan.pidsCgroup(); late != nil && err == nil {
		p.atLimit = func() (*Program, error) {
			if err := late.openProcs(); err != nil {
				return nil, err
			}
			return (&compiler{plan: plan, late: late}).compile()
		}
	}
	return p, err
}

func (c *compiler) compile() (*Program, error) {
	c.build()
	return c.program()
}

// NULError says that an argument or variable cannot be handed to a process.
type NULError struct{ Text string }

func (e *NULError) Error() string {
	return fmt.Sprintf("%q holds a NUL byte, which no argument or variable of a process can", e.Text)
}

// checkStrings refuses what execve(2) could not carry.
func checkStrings(list []string) error {
	for _, s := range list {
		for i := range len(s) {
			if s[i] == 0 {
				return &NULError{Text: s}
			}
		}
	}
	return nil
}

type compiler struct {
	plan  *Plan
	steps []*Step
	files []*os.File
	names []string

	kept         bool      // steps are P's, whose parent is the keeper
	late         *Cgroup   // the one in which the child is placed; nil: P enters all
	enterUnified []*Step   // by which P does if it was not born there
	files1By1    *Step     // where the keeper closes its files, on old kernels
	contained    bool      // the command looks names up in a container
	child        bool      // steps are the child's from here on
	installs     []install // of the seccomp filters, in order
	err          error     // the first impossible value
}

func (c *compiler) program() (*Program, error) {
	kept := c.kept
	key := c.admit()
	c.closeKeepersFiles()
	return &Program{Steps: c.steps, files: c.files, names: c.names, key: key, kept: kept, shed: !c.plan.Kernel.CloseRange}, c.err
}

// build appends the steps. What needs neither the container's rights nor its filter
// comes before both.
func (c *compiler) build() {
	c.contained = true
	c.beKept()
	c.keepTools()
	c.shed()
	attrs := c.openAttributes()
	if c.plan.Plain {
		c.hide("become undumpable") // whose files of /proc are root's
	}
	c.enterCgroups()
	if c.plan.Realm {
		c.joinRealm()
	}
	c.writeAttributes(attrs)
	c.limits()
	c.leaveNoCore()
	c.join(true)
	c.enterRoot()
	c.joinKeyring()
	c.confine(attrs)
	c.schedule()
	c.closeHostFiles()
	c.keepReport()
	// Without no_new_privs a filter needs CAP_SYS_ADMIN, which the process is about to
	// lose; with it, runtimes install it as late as possible
	// (libcontainer/setns_init_linux.go). A filter that anybody may have made comes late
	// in any case: it could answer in the kernel's place, to setuid for instance.
	nnp := c.plan.Process.NoNewPrivileges
	late := nnp || len(c.plan.Filters) > 0
	if !late {
		c.installFilters()
	}
	c.setCredentials()
	exec := c.lookup()
	if nnp {
		c.setNoNewPrivs()
	}
	if late {
		c.installFilters()
		c.leaveFilterRight()
	}
	c.spawn()
	c.newSession()
	c.mountChildsProc()
	c.lookAsChild(exec)
	c.add(exec)
	if len(c.plan.Filters) > 0 { // one of them has answered in the kernel's place
		c.fail("run the command", StageExec, unix.EPERM)
	}
}

// add appends a step that must succeed.
func (c *compiler) add(s *Step) *Step {
	s.kept, s.child = c.kept, c.child
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

// octal shows a mask as people write it.
func octal(v uint32) Arg { return named(v, "0"+strconv.FormatUint(uint64(v), 8)) }
