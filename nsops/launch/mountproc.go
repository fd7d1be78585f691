package launch

import "golang.org/x/sys/unix"

// exitProc is for a child that could not mount its /proc: the errnos of mount(2) are
// below 32, and execve has none between.
const exitProc = 96

// mountProc mounts a /proc of the PID namespace that the process is born into, which
// P itself is not in.
func (c *compiler) mountProc() {
	if !c.plan.MountProc {
		return
	}
	const flags = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	s := c.call("mount /proc", "", "mount", unix.SYS_MOUNT, str("proc"), str("/proc"), str("proc"),
		named(flags, "MS_NOSUID|MS_NODEV|MS_NOEXEC"), num(0))
	s.exit = exitProc
}
