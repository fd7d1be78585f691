package launch

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"dx/nsops/caps"
)

// The steps that make the process what the container's processes are.

// closeHostFiles: from here on nothing of the host is open; 0, 1 and 2 are the
// process's own.
func (c *compiler) closeHostFiles() {
	if c.plan.Kernel.CloseRange {
		c.closeAllFiles()
		return
	}
	// One by one: P was given these and the program's own file, and opened its
	// attributes and perhaps the unified cgroup behind them.
	for n := range len(c.files) + 1 + len(c.attributes()) + 2 {
		c.try("close a file of the host", "", "close", unix.SYS_CLOSE, nil, num(firstFile+n))
	}
}

// setCredentials is runc's finalizeNamespace (libcontainer/init_linux.go).
func (c *compiler) setCredentials() {
	sets := c.capabilities()
	keep := named(unix.PR_SET_KEEPCAPS, "PR_SET_KEEPCAPS")

	again := c.chdirFirst()
	c.dropBounding(sets.bounding)
	c.call("keep capabilities over setuid", "runc", "prctl", unix.SYS_PRCTL, keep, num(1))
	c.setIDs()
	c.stayHidden()
	if again != nil {
		c.add(again)
		c.verifyCwd()
	}
	c.call("keep no capabilities over later setuids", "runc", "prctl", unix.SYS_PRCTL, keep, num(0))
	c.capset(c.withFilterRight(sets))
	// Others the kernel refuses (capabilities(7)), which runc overlooks: buildah names some.
	c.raiseAmbient(sets.ambient & sets.permitted & sets.inheritable)
}

// withFilterRight adds what it takes to install a filter late, without
// no_new_privs.
func (c *compiler) withFilterRight(s capSets) capSets {
	if len(c.plan.Filters) > 0 && !c.plan.Process.NoNewPrivileges {
		s.permitted |= 1 << unix.CAP_SYS_ADMIN
		s.effective |= 1 << unix.CAP_SYS_ADMIN
	}
	return s
}

// leaveFilterRight takes it away again.
func (c *compiler) leaveFilterRight() {
	if sets := c.capabilities(); c.withFilterRight(sets) != sets {
		c.capset(sets).own = true
	}
}

// chdirFirst adds the first attempt to go to the working directory and returns the
// second, as the user: the directory may be closed to this root, and runc tries again.
// nil: it is the child's to find, and P stays in the root.
func (c *compiler) chdirFirst() (again *Step) {
	if c.ofChilds(c.plan.Process.Cwd) {
		return nil
	}
	first, again := c.chdirStep(), c.chdirStep()
	c.add(first)
	c.set("chdir only once", &slot{step: again, arg: nrSlot}, named(opSet, "set"))
	first.onError, first.errnos = c.label(), []unix.Errno{unix.EPERM, unix.EACCES}
	return again
}

func (c *compiler) chdirStep() *Step {
	return &Step{
		Name: "chdir", Nr: unix.SYS_CHDIR, Stage: StageCwd, Origin: c.origin("Cwd"),
		Doing: fmt.Sprintf("chdir to cwd (%q)", c.plan.Process.Cwd), Args: []Arg{str(c.plan.Process.Cwd)},
	}
}

// verifyCwd makes sure that the working directory lies below the root
// (CVE-2024-21626). Where it does not, getcwd(2) answers "(unreachable)/…": a
// relative path. The steps cannot compare a byte with a slash, but faccessat(2)
// does: with a descriptor that cannot be open, a relative path is EBADF before any
// name is looked up, and an absolute one never looks at the descriptor
// (fs/namei.c, path_init). So no name that somebody makes plays a part. Of an
// absolute path EACCES says that only the user before setuid could search a
// directory of it, ENOENT that a mount hides it.
func (c *compiler) verifyCwd() {
	buf := space(unix.PathMax, "cwd")
	get := c.call("find the working directory", "CVE-2024-21626", "getcwd", unix.SYS_GETCWD, buf, num(unix.PathMax))
	found := newLabel()
	get.onPositive = found
	// A seccomp filter may answer 0 in the kernel's place: no path at all.
	c.fail("find the working directory", StageCwd, unix.EBADF)
	c.add(found)
	look := c.try("keep the working directory within the root", "CVE-2024-21626", "faccessat", unix.SYS_FACCESSAT,
		[]unix.Errno{unix.EACCES, unix.ENOENT}, named(noFile, "-1"), Arg{text: "cwd", share: &get.Args[0]}, named(unix.F_OK, "F_OK"))
	look.own = true // what a filter answers is not what the kernel would
	get.Stage, look.Stage = StageCwd, StageCwd
}

// noFile is a descriptor that no process has, in a 64-bit register.
const noFile = ^uint64(0)

type capSets struct{ bounding, permitted, effective, inheritable, ambient uint64 }

func (c *compiler) capabilities() capSets {
	given := c.plan.Process.Capabilities
	if given == nil {
		return capSets{}
	}
	return capSets{
		bounding: c.capMask(given.Bounding), permitted: c.capMask(given.Permitted), effective: c.capMask(given.Effective),
		inheritable: c.capMask(given.Inheritable), ambient: c.capMask(given.Ambient),
	}
}

func (c *compiler) capMask(names []string) uint64 {
	var mask uint64
	for _, name := range names {
		bit, ok := caps.Number(name)
		if !ok {
			c.bad("unknown capability %q", name)
			continue
		}
		mask |= 1 << bit
	}
	return mask
}

func (c *compiler) dropBounding(keep uint64) {
	for n := 0; n <= c.plan.Kernel.LastCap; n++ {
		if keep&(1<<n) != 0 {
			continue
		}
		c.call("drop a capability from the bounding set", "Capabilities", "prctl", unix.SYS_PRCTL,
			named(unix.PR_CAPBSET_DROP, "PR_CAPBSET_DROP"), named(n, caps.Name(n)))
	}
}

func (c *compiler) capset(s capSets) *Step {
	header := binary.NativeEndian.AppendUint32(nil, unix.LINUX_CAPABILITY_VERSION_3)
	header = binary.NativeEndian.AppendUint32(header, 0)
	var data []byte
	for _, shift := range []int{0, 32} {
		for _, set := range []uint64{s.effective, s.permitted, s.inheritable} {
			data = binary.NativeEndian.AppendUint32(data, uint32(set>>shift))
		}
	}
	return c.call("set the capabilities", "Capabilities", "capset", unix.SYS_CAPSET, raw(header, "{v3}"),
		raw(data, fmt.Sprintf("{effective %#x, permitted %#x, inheritable %#x}", s.effective, s.permitted, s.inheritable)))
}

func (c *compiler) raiseAmbient(mask uint64) {
	for n := range 64 {
		if mask&(1<<n) != 0 {
			c.call("raise an ambient capability", "Capabilities", "prctl", unix.SYS_PRCTL,
				named(unix.PR_CAP_AMBIENT, "PR_CAP_AMBIENT"), named(unix.PR_CAP_AMBIENT_RAISE, "PR_CAP_AMBIENT_RAISE"), named(n, caps.Name(n)), num(0), num(0))
		}
	}
}

func (c *compiler) setIDs() {
	u := c.plan.Process.User
	if !c.plan.SetgroupsDenied {
		var list []byte
		for _, g := range u.AdditionalGids {
			list = binary.NativeEndian.AppendUint32(list, g)
		}
		c.call("set the supplementary groups", "User", "setgroups", unix.SYS_SETGROUPS, num(len(u.AdditionalGids)), raw(append(list, 0, 0, 0, 0), fmt.Sprint(u.AdditionalGids)))
	}
	c.call("set the group", "User", "setgid", unix.SYS_SETGID, num(u.GID))
	c.call("set the user", "User", "setuid", unix.SYS_SETUID, num(u.UID))
}

func (c *compiler) setNoNewPrivs() {
	c.call("set no_new_privs", "NoNewPrivileges", "prctl", unix.SYS_PRCTL,
		named(unix.PR_SET_NO_NEW_PRIVS, "PR_SET_NO_NEW_PRIVS"), num(1), num(0), num(0), num(0))
}
