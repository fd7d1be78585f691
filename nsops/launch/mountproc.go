package launch

// exitProc is for a child that could not mount its /proc: the errnos of mount(2) are
// below 32, and execve has none between.
const exitProc = 96

// mountChildsProc mounts a /proc of the PID namespace that the process is born into,
// which P itself is not in.
func (c *compiler) mountChildsProc() {
	if c.plan.MountProc {
		c.freshProc().exit = exitProc
	}
}
