package launch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dx/nsops"
)

// Unshare is a command in fresh namespaces: the simplest container. Its process
// is the caller's own, with the caller's streams, environment and rights; what
// it lacks of those it lacks because of a namespace.
type Unshare struct {
	Args []string // the command, looked up in PATH of Env
	Env  []string

	New         []nsops.Type // the namespaces to make
	Propagation Propagation  // of the mounts of a new mount namespace
	Maps        *IDMaps      // of a new user namespace; nil: none, nobody is mapped
	Hostname    string       // of a new UTS namespace; empty: the caller's
	Root        string       // absolute path of the directory that becomes the root; empty: the caller's
	Dev         bool         // Root gets a /dev of its own
	Proc        bool         // /proc is mounted anew
	Cwd         string       // empty: the root's top, or the caller's without Root

	Init      bool // a little init is PID 1 and the command its child
	KillChild bool // the command ends with the caller

	// IgnoredSignals were ignored by the caller, and stay so (nohup(1)).
	IgnoredSignals []int
	TimerSlack     uint64 // as in a Plan
	Kernel         Kernel
}

// Propagation is what mounts do to those of other mount namespaces
// (mount_namespaces(7)).
type Propagation string

// The propagations; Unchanged leaves each mount as it was.
const (
	Private   Propagation = "private"
	Slave     Propagation = "slave"
	Shared    Propagation = "shared"
	Unchanged Propagation = "unchanged"
)

var propagationFlags = map[Propagation]Arg{
	Private: named(unix.MS_REC|unix.MS_PRIVATE, "MS_REC|MS_PRIVATE"),
	Slave:   named(unix.MS_REC|unix.MS_SLAVE, "MS_REC|MS_SLAVE"),
	Shared:  named(unix.MS_REC|unix.MS_SHARED, "MS_REC|MS_SHARED"),
}

// ParsePropagation knows the four by their names.
func ParsePropagation(s string) (Propagation, error) {
	p := Propagation(s)
	if _, ok := propagationFlags[p]; !ok && p != Unchanged {
		return "", fmt.Errorf("%q is no propagation: private, slave, shared or unchanged", s)
	}
	return p, nil
}

// ErrSharedRoot says that a new root cannot be taken while mounts are shared:
// the old root would be unmounted for everybody.
var ErrSharedRoot = errors.New("a new root needs mounts of its own: propagation private or slave")

func (u *Unshare) check() error {
	makes := func(t nsops.Type) bool { return slices.Contains(u.New, t) }
	switch {
	case len(u.Args) == 0:
		return errors.New("no command to run")
	case (u.Root != "" || u.Proc) && !makes(nsops.Mnt):
		return errors.New("a new root or /proc needs a new mount namespace")
	case u.Root != "" && !filepath.IsAbs(u.Root):
		return fmt.Errorf("the root %q is not an absolute path", u.Root)
	case u.Root != "" && u.Propagation != Private && u.Propagation != Slave:
		return ErrSharedRoot
	case u.Hostname != "" && !makes(nsops.UTS):
		return errors.New("a host name needs a new UTS namespace")
	case u.Maps != nil && !makes(nsops.User):
		return errors.New("ids are mapped for a new user namespace only")
	case u.Init && !makes(nsops.PID):
		return errors.New("an init needs a new PID namespace: elsewhere it is no PID 1")
	}
	for _, list := range [][]string{u.Args, u.Env, {u.Hostname, u.Root, u.Cwd}} {
		if err := checkStrings(list); err != nil {
			return err
		}
	}
	return nil
}

// CompileUnshare turns it into a program. It makes no system call.
//
// P makes the namespaces and clones the child, which is the first process of a
// new PID namespace and the only one that can mount its /proc. Nobody else is in
// the namespaces yet, so nothing needs to be hidden from anybody: the child keeps
// the report page until it executes the command.
func CompileUnshare(u *Unshare) (*Program, error) {
	if err := u.check(); err != nil {
		return nil, err
	}
	c := &compiler{plan: &Plan{
		Process: &specs.Process{Args: u.Args, Env: u.Env, Cwd: u.Cwd}, Kernel: u.Kernel, TimerSlack: u.TimerSlack,
		Origins: map[string]string{"Args": "the command line", "Cwd": "--wd", "Env[PATH]": "your PATH"},
	}}
	c.mapReport()
	c.takeTimerSlack()
	c.keepIgnored(u.IgnoredSignals)
	c.newNamespaces(u)
	if u.Init {
		c.file(noticeFile, "notice")
		c.birth(0, "")
	} else {
		c.birth(unix.CLONE_VFORK, "|CLONE_VFORK")
	}
	if u.KillChild {
		c.call("end with dx", "--kill-child", "prctl", unix.SYS_PRCTL,
			named(unix.PR_SET_PDEATHSIG, "PR_SET_PDEATHSIG"), named(int(unix.SIGKILL), "SIGKILL"))
	}
	c.newMounts(u)
	if u.Init {
		c.beInit()
	}
	c.closeHostFiles()
	c.add(c.lookup())
	p := &Program{Steps: c.steps, files: c.files, names: c.names, init: u.Init}
	if u.Maps != nil && !u.Maps.own() {
		p.paused = u.Maps.install
	}
	return p, c.err
}

// keepIgnored ignores again what dx itself had to listen to.
func (c *compiler) keepIgnored(list []int) {
	for _, sig := range list {
		const sigIgn = 1 // SIG_IGN
		act := make([]byte, 32)
		binary.NativeEndian.PutUint64(act, sigIgn)
		c.call("go on ignoring "+unix.SignalName(unix.Signal(sig)), "the caller", "rt_sigaction", unix.SYS_RT_SIGACTION,
			named(sig, unix.SignalName(unix.Signal(sig))), raw(act, "{SIG_IGN}"), num(0), num(8))
	}
}

// newOrder has the user namespace first: its rights are what the others take
// where the caller has none.
var newOrder = []nsops.Type{nsops.User, nsops.Mnt, nsops.UTS, nsops.IPC, nsops.Net, nsops.Cgroup, nsops.Time, nsops.PID}

func (c *compiler) newNamespaces(u *Unshare) {
	for _, t := range newOrder {
		if !slices.Contains(u.New, t) {
			continue
		}
		c.call("make a new "+longName(t)+" namespace", "", "unshare", unix.SYS_UNSHARE, named(t.CloneFlag(), cloneName(t)))
		switch t {
		case nsops.User:
			c.mapIDs(u.Maps)
		case nsops.Mnt:
			c.propagate(u.Propagation, "--propagation")
		case nsops.UTS:
			c.setHostname(u.Hostname)
		case nsops.Net:
			c.loopbackUp()
		}
	}
}

func (c *compiler) setHostname(name string) {
	if name != "" {
		c.call("set the host name", "--hostname", "sethostname", unix.SYS_SETHOSTNAME, str(name), num(len(name)))
	}
}

// loopbackUp: a new network namespace has its lo, but down. Docker and podman
// bring it up as well.
func (c *compiler) loopbackUp() {
	ifreq := append([]byte("lo"), make([]byte, 38)...) // struct ifreq: 16 bytes of name, then the flags
	binary.NativeEndian.PutUint16(ifreq[16:], unix.IFF_UP|unix.IFF_RUNNING)
	socket := c.call("open a socket", "", "socket", unix.SYS_SOCKET,
		named(unix.AF_INET, "AF_INET"), named(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, "SOCK_DGRAM|SOCK_CLOEXEC"), num(0))
	up := c.call("bring the loopback interface up", "", "ioctl", unix.SYS_IOCTL,
		named(0, "socket"), named(unix.SIOCSIFFLAGS, "SIOCSIFFLAGS"), raw(ifreq, "{lo, IFF_UP|IFF_RUNNING}"))
	socket.into = &slot{step: up, arg: 0}
}

// propagate is for all mounts at once, before the first new one.
func (c *compiler) propagate(p Propagation, origin string) {
	if flags, ok := propagationFlags[p]; ok {
		c.call("make the mounts "+string(p), origin, "mount", unix.SYS_MOUNT,
			str("none"), str("/"), num(0), flags, num(0))
	}
}
