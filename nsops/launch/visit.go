package launch

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// Visit is a program of the host's, with its caller's own rights, in some of a
// container's namespaces: what nsenter(1) does. Nothing of the container's
// posture is taken: no user, capabilities, filter, limit or cgroup.
type Visit struct {
	// Plan has the Process (Args, Env, Terminal; Cwd, empty to stay), Joins, Seen, and
	// with the mount namespace its Root. The rest of it is not heeded.
	*Plan

	// Without the container's mount namespace, these are seen in a private one:
	Files []Overlay // instead of the host's
	Proc  bool      // a /proc of the joined PID namespace
}

// Overlay is a file of the host's that has other content for the program.
type Overlay struct {
	Path    string
	Content []byte
}

// maxOverlay bounds one: it lies in the program's image.
const maxOverlay = 1 << 20

// CompileVisit turns a visit into a program. It makes no system call.
func CompileVisit(v *Visit) (*Program, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	c := &compiler{plan: v.Plan}
	c.restoreSignals(c.beKept())
	c.leaveNoCore()
	if v.joinsUser() { // what is the caller's own elsewhere is not for those in there
		c.leaveKeyring()
	}
	c.join(false)
	if len(v.Files) > 0 || v.Proc {
		c.call("make a private mount namespace", "", "unshare", unix.SYS_UNSHARE, named(unix.CLONE_NEWNS, "CLONE_NEWNS"))
		c.propagate(Slave, "") // what the host mounts later is still seen
	}
	c.overlay(v.Files)
	c.enterRoot()
	c.closeHostFiles()
	if v.Process.Cwd != "" {
		c.add(c.chdirStep())
		c.verifyCwd()
	}
	exec := c.lookup()
	c.keepReport()
	c.stayHidden()
	c.spawn()
	c.newSession()
	if v.Proc {
		c.freshProc().exit = exitProc
	}
	c.add(exec)
	return c.program()
}

func (v *Visit) check() error {
	if len(v.Process.Args) == 0 {
		return errors.New("no command to run")
	}
	for _, f := range v.Files {
		if len(f.Content) > maxOverlay {
			return fmt.Errorf("the container's %s has %d bytes, more than %d", f.Path, len(f.Content), maxOverlay)
		}
	}
	for _, list := range [][]string{v.Process.Args, v.Process.Env, {v.Process.Cwd}} {
		if err := checkStrings(list); err != nil {
			return err
		}
	}
	return nil
}

// overlay binds copies over files of the host's. The copies lie on a tmpfs that
// is at /proc, where there is a directory for sure, for as long as that takes;
// the binds keep it. They are copies because a mount of the container's cannot
// be bound here, and because the container shall not change them meanwhile.
func (c *compiler) overlay(files []Overlay) {
	if len(files) == 0 {
		return
	}
	c.mount("tmpfs", "/proc", "tmpfs", named(unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "MS_NOSUID|MS_NODEV|MS_NOEXEC"), "mode=755").
		Doing = "have a place for copies"
	for i, f := range files {
		copied := fmt.Sprintf("/proc/%d", i)
		open := c.call("copy the container's "+f.Path, f.Path, "openat", unix.SYS_OPENAT, named(atFdcwd, "AT_FDCWD"), str(copied),
			named(unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, "O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC"), octal(0o644))
		write := c.call("copy the container's "+f.Path, f.Path, "write", unix.SYS_WRITE,
			named(0, "copy"), raw(append([]byte{}, f.Content...), fmt.Sprintf("{%d bytes}", len(f.Content))), num(len(f.Content)))
		open.into = &slot{step: write, arg: 0}
		// Whatever the umask: everybody reads these.
		c.call("let everybody read it", "", "fchmodat", unix.SYS_FCHMODAT, named(atFdcwd, "AT_FDCWD"), str(copied), octal(0o644))
		c.call("see it instead of the host's", "", "mount", unix.SYS_MOUNT, str(copied), str(f.Path), num(0), named(unix.MS_BIND, "MS_BIND"), num(0))
	}
	c.call("see the host's /proc again", "", "umount2", unix.SYS_UMOUNT2, str("/proc"), named(unix.MNT_DETACH, "MNT_DETACH"))
}

// HostRoot opens the caller's own root, as Target.Root is opened.
func HostRoot() (*os.File, error) { return os.OpenFile("/", unix.O_PATH|unix.O_DIRECTORY, 0) }
