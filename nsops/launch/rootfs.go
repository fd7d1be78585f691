package launch

import "golang.org/x/sys/unix"

// The steps that give a new mount namespace its root, /dev and /proc.

// newMounts ends in the command's working directory.
//
// The new root is taken first and the old one left last: between the two, paths
// that begin with a slash lie in the new root, so that no link in it leads out,
// while the working directory is still the old /dev, whose devices a caller
// without CAP_MKNOD has to bind. A /proc can be mounted in a user namespace only
// while one is visible already (fs/namespace.c, mount_too_revealing).
func (c *compiler) newMounts(u *Unshare) {
	if u.Root != "" {
		c.pivot(u.Root)
	}
	if u.Root != "" && u.Dev {
		c.newDev()
	}
	if u.Proc {
		c.freshProc()
	}
	if u.Root != "" {
		c.chdir("/")
		c.call("leave the old root", "pivot_root(2)", "umount2", unix.SYS_UMOUNT2, str("."), named(unix.MNT_DETACH, "MNT_DETACH"))
	}
	if u.Cwd != "" {
		c.add(c.chdirStep())
		c.verifyCwd() // a link of the new root may lead out by /proc/PID/root
	}
}

func (c *compiler) chdir(dir string) {
	c.call("go to "+dir, "", "chdir", unix.SYS_CHDIR, str(dir))
}

func (c *compiler) freshProc() *Step {
	return c.mount("proc", "/proc", "proc", named(unix.MS_NOSUID|unix.MS_NOEXEC|unix.MS_NODEV, "MS_NOSUID|MS_NOEXEC|MS_NODEV"), "")
}

func (c *compiler) mount(source, target, fs string, flags Arg, data string) *Step {
	options := num(0)
	if data != "" {
		options = str(data)
	}
	return c.call("mount "+target, "", "mount", unix.SYS_MOUNT, str(source), str(target), str(fs), flags, options)
}

// pivot makes a directory the root. pivot_root(2) takes only a mount, so the directory
// is bound on itself; the old root comes to lie on the new one, as that manual
// page proposes.
func (c *compiler) pivot(dir string) {
	c.call("make the new root a mount", "--root", "mount", unix.SYS_MOUNT,
		str(dir), str(dir), num(0), named(unix.MS_BIND|unix.MS_REC, "MS_BIND|MS_REC"), num(0))
	c.chdir("/dev")
	c.call("change the root", "--root", "pivot_root", unix.SYS_PIVOT_ROOT, str(dir), str(dir))
}

// devices are those that every program may expect (OCI runtime specification,
// config-linux.md, default devices).
var devices = []struct {
	name         string
	major, minor uint32
}{
	{"null", 1, 3}, {"zero", 1, 5}, {"full", 1, 7}, {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0},
}

// newDev lays a small /dev over the root's own.
func (c *compiler) newDev() {
	restore := &Step{Name: "umask", Nr: unix.SYS_UMASK, Args: []Arg{named(0, "the old one")}, Doing: "set the umask back"}
	c.call("leave modes as they are given", "", "umask", unix.SYS_UMASK, num(0)).into = &slot{step: restore, arg: 0}
	c.mount("tmpfs", "/dev", "tmpfs", named(unix.MS_NOSUID|unix.MS_STRICTATIME, "MS_NOSUID|MS_STRICTATIME"), "mode=755,size=65536k")
	for _, d := range devices {
		c.device(d.name, unix.Mkdev(d.major, d.minor))
	}
	c.mkdir("/dev/pts")
	c.mount("devpts", "/dev/pts", "devpts", named(unix.MS_NOSUID|unix.MS_NOEXEC, "MS_NOSUID|MS_NOEXEC"), "newinstance,ptmxmode=0666,mode=0620")
	c.mkdir("/dev/shm")
	c.mount("tmpfs", "/dev/shm", "tmpfs", named(unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, "MS_NOSUID|MS_NODEV|MS_NOEXEC"), "mode=1777,size=65536k")
	for _, l := range [][2]string{
		{"pts/ptmx", "/dev/ptmx"}, {"/proc/self/fd", "/dev/fd"},
		{"/proc/self/fd/0", "/dev/stdin"}, {"/proc/self/fd/1", "/dev/stdout"}, {"/proc/self/fd/2", "/dev/stderr"},
	} {
		c.call("link "+l[1], "", "symlinkat", unix.SYS_SYMLINKAT, str(l[0]), named(atFdcwd, "AT_FDCWD"), str(l[1]))
	}
	c.add(restore)
}

func (c *compiler) mkdir(dir string) {
	c.call("make "+dir, "", "mkdirat", unix.SYS_MKDIRAT, named(atFdcwd, "AT_FDCWD"), str(dir), octal(0o755))
}

// device makes a device file, or binds the host's where that is not allowed: in
// a user namespace, or by a devices cgroup.
func (c *compiler) device(name string, dev uint64) {
	path := "/dev/" + name
	bind, done := newLabel(), newLabel()
	node := c.call("make "+path, "", "mknodat", unix.SYS_MKNODAT,
		named(atFdcwd, "AT_FDCWD"), str(path), named(unix.S_IFCHR|0o666, "S_IFCHR|0666"), num(dev))
	node.onZero, node.onError, node.errnos = done, bind, []unix.Errno{unix.EPERM}
	c.add(bind)
	c.call("or, without that right, a place for it", "", "openat", unix.SYS_OPENAT,
		named(atFdcwd, "AT_FDCWD"), str(path), named(unix.O_CREAT|unix.O_EXCL|unix.O_CLOEXEC, "O_CREAT|O_EXCL|O_CLOEXEC"), octal(0o666))
	c.call("and bind the host's there", "", "mount", unix.SYS_MOUNT, str(name), str(path), num(0), named(unix.MS_BIND, "MS_BIND"), num(0))
	c.add(done)
}
