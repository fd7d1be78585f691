package launch

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dx/nsops"
)

// The steps of P while it still belongs to the host, in order.

// begin makes P unreadable and opens the way back to dx.
func (c *compiler) begin() {
	if !c.plan.Plain {
		c.hide("become undumpable")
	}
	c.mapReport()
}

func (c *compiler) mapReport() {
	c.call("map the report page", "", "mmap", unix.SYS_MMAP,
		named(statusBase, "REPORT"), num(pageSize), named(unix.PROT_READ|unix.PROT_WRITE, "PROT_READ|PROT_WRITE"),
		named(unix.MAP_SHARED|unix.MAP_FIXED, "MAP_SHARED|MAP_FIXED"), c.file(statusFile, "report"), num(0))
	c.set("report failures there", &slot{addr: dataBase}, named(statusBase, "REPORT"))
}

// hide keeps the process from being ptraced (CVE-2016-9962).
func (c *compiler) hide(doing string) *Step {
	return c.call(doing, "CVE-2016-9962", "prctl", unix.SYS_PRCTL, named(unix.PR_SET_DUMPABLE, "PR_SET_DUMPABLE"), num(0))
}

// pageSize is enough for a report, and a multiple of no page size is needed.
const pageSize = 4096

// attribute is a file of /proc/self that is written after it was opened through
// the host's /proc: a container could put a fake one in its place
// (CVE-2025-52881).
type attribute struct {
	opens []*Step // any of them opens it
	file  string
	value string
	doing string
	key   string
}

// openAttributes opens them while P still sees the host's /proc.
func (c *compiler) openAttributes() map[string]*attribute {
	attrs := map[string]*attribute{}
	for _, a := range c.attributes() {
		a.opens = []*Step{c.openAttribute(a.file)}
		if a.file == fileAppArmor { // Linux 5.8; before, the security modules shared one file
			a.opens[0].onError, a.opens[0].errnos = goNext, []unix.Errno{unix.ENOENT}
			a.opens = append(a.opens, c.openAttribute(fileExecLabel))
			a.opens[0].onPositive = c.label()
		}
		attrs[a.file] = a
	}
	return attrs
}

func (c *compiler) openAttribute(file string) *Step {
	return c.call("open "+file, "", "openat", unix.SYS_OPENAT, named(atFdcwd, "AT_FDCWD"), str("/proc/self/"+file),
		named(unix.O_WRONLY|unix.O_CLOEXEC, "O_WRONLY|O_CLOEXEC"))
}

// atFdcwd is AT_FDCWD as the 64-bit register holds it.
const atFdcwd = ^uint64(99)

func (c *compiler) attributes() []*attribute {
	p, shed := c.plan.Process, c.plan.Shed
	var list []*attribute
	if p.OOMScoreAdj != nil {
		list = append(list, &attribute{file: "oom_score_adj", value: strconv.Itoa(*p.OOMScoreAdj), doing: "set the OOM score", key: "OOMScoreAdj"})
	}
	if shed.CoredumpFilter != nil {
		list = append(list, &attribute{file: "coredump_filter", value: fmt.Sprintf("%#x", *shed.CoredumpFilter), doing: "set the core dump filter", key: "Inherited"})
	}
	if shed.LoginUID != nil {
		list = append(list, &attribute{file: "loginuid", value: strconv.FormatUint(uint64(*shed.LoginUID), 10), doing: "set the login uid", key: "Inherited"})
	}
	if p.ApparmorProfile != "" {
		list = append(list, &attribute{file: fileAppArmor, value: "exec " + p.ApparmorProfile, doing: "enter the AppArmor profile " + p.ApparmorProfile, key: "ApparmorProfile"})
	}
	if p.SelinuxLabel != "" {
		list = append(list,
			&attribute{file: fileKeyLabel, value: p.SelinuxLabel, doing: "label new keys " + p.SelinuxLabel, key: "SelinuxLabel"},
			&attribute{file: fileExecLabel, value: p.SelinuxLabel, doing: "take the SELinux label " + p.SelinuxLabel, key: "SelinuxLabel"})
	}
	return list
}

const (
	fileAppArmor  = "attr/apparmor/exec"
	fileExecLabel = "attr/exec"
	fileKeyLabel  = "attr/keycreate"
)

// writeAttributes writes those that need the host's rights.
func (c *compiler) writeAttributes(attrs map[string]*attribute) {
	for _, file := range []string{"oom_score_adj", "coredump_filter", "loginuid", fileKeyLabel} {
		c.writeAttribute(attrs[file])
	}
}

func (c *compiler) writeAttribute(a *attribute) {
	if a == nil {
		return
	}
	w := c.call(a.doing, a.key, "write", unix.SYS_WRITE, named(0, a.file), raw([]byte(a.value), strconv.Quote(a.value)), num(len(a.value)))
	for _, open := range a.opens {
		open.into = &slot{step: w, arg: 0}
	}
}

// confine writes the labels that the next execve takes. AppArmor and SELinux
// keep them over clone(2).
func (c *compiler) confine(attrs map[string]*attribute) {
	c.writeAttribute(attrs[fileAppArmor])
	c.writeAttribute(attrs[fileExecLabel])
}

func (c *compiler) enterCgroups() {
	for i := range c.plan.Cgroups {
		switch cg := &c.plan.Cgroups[i]; cg {
		case c.late: // the keeper moves the child
		case c.unified():
			for _, s := range c.enterUnified {
				c.add(s)
			}
		default:
			c.add(c.enterStep(cg, c.file(cg.Procs, cg.Name+" cgroup")))
		}
	}
}

func (c *compiler) enterStep(cg *Cgroup, procs Arg) *Step {
	// "0" is the writer itself (cgroups(7)).
	return &Step{
		Name: "write", Nr: unix.SYS_WRITE, Doing: "enter the " + cg.Name + " cgroup", Origin: c.origin("Cgroups"),
		Args: []Arg{procs, raw([]byte("0"), `"0"`), num(1)},
	}
}

// enterSteps are for the one of which only the directory is open. closeHostFiles closes
// what they open.
func (c *compiler) enterSteps(cg *Cgroup, dir Arg) (open, enter *Step) {
	enter = c.enterStep(cg, named(0, procsFile))
	open = &Step{
		Name: "openat", Nr: unix.SYS_OPENAT, Doing: "open the " + cg.Name + " cgroup", Origin: enter.Origin,
		Args: []Arg{dir, str(procsFile), named(unix.O_WRONLY|unix.O_CLOEXEC, "O_WRONLY|O_CLOEXEC")},
		into: &slot{step: enter, arg: 0},
	}
	return open, enter
}

func (c *compiler) limits() {
	for _, l := range c.plan.Process.Rlimits {
		nr, ok := rlimits[l.Type]
		if !ok {
			c.bad("unknown resource limit %q", l.Type)
			continue
		}
		b := binary.NativeEndian.AppendUint64(nil, l.Soft)
		b = binary.NativeEndian.AppendUint64(b, l.Hard)
		c.call("set "+l.Type, "Rlimits", "prlimit64", unix.SYS_PRLIMIT64,
			num(0), named(nr, l.Type), raw(b, fmt.Sprintf("{%s, %s}", limitText(l.Soft), limitText(l.Hard))), num(0))
	}
}

func limitText(v uint64) string {
	if v == unix.RLIM_INFINITY {
		return "RLIM_INFINITY"
	}
	return strconv.FormatUint(v, 10)
}

var rlimits = map[string]int{
	"RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_CPU": unix.RLIMIT_CPU,
	"RLIMIT_DATA": unix.RLIMIT_DATA, "RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS,
	"RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK, "RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE, "RLIMIT_NICE": unix.RLIMIT_NICE,
	"RLIMIT_NOFILE": unix.RLIMIT_NOFILE, "RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_RSS": unix.RLIMIT_RSS,
	"RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO, "RLIMIT_RTTIME": unix.RLIMIT_RTTIME,
	"RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING, "RLIMIT_STACK": unix.RLIMIT_STACK,
}

// join enters the namespaces in runc's order (libcontainer/nsenter/nsexec.c):
// those that the caller's rights open, then the user namespace, then the ones
// that only its rights open.
func (c *compiler) join(idsFollow bool) {
	user := slices.IndexFunc(c.plan.Joins, func(j Join) bool { return j.Type == nsops.User })
	if c.plan.Realm {
		user = -1 // joinRealm has joined it
	}
	retries := []*Step{}
	for _, j := range c.plan.Joins {
		if j.Type == nsops.User {
			continue
		}
		s := c.setns(j)
		if user < 0 {
			continue
		}
		// EPERM: mark the second attempt, which does nothing otherwise.
		retry := c.setnsStep(j)
		retry.Nr, retry.spare = opSet, true
		later := c.set("leave it until the user namespace is joined", &slot{step: retry, arg: nrSlot}, named(uintptr(unix.SYS_SETNS), "setns"))
		s.onError, s.errnos = later, []unix.Errno{unix.EPERM}
		s.onZero = c.label()
		retries = append(retries, retry)
	}
	if user < 0 {
		return
	}
	c.dropGroups()
	c.setns(c.plan.Joins[user])
	c.becomeRoot(idsFollow)
	for _, r := range retries {
		c.add(r)
	}
}

// joinRealm joins the user namespace before all else that a plain user's files ask for: the
// kernel then measures it by that user's rights.
func (c *compiler) joinRealm() {
	user := slices.IndexFunc(c.plan.Joins, func(j Join) bool { return j.Type == nsops.User })
	if user < 0 {
		c.bad("the user namespace of a plain user's container is not to be joined")
		return
	}
	c.dropGroups()
	c.setns(c.plan.Joins[user])
	c.becomeRoot(true)
	c.giveStreams()
}

// giveStreams is for a caller who may not give its streams away: root in the namespace
// may, as far as that maps the caller (runc, fixStdioPermissions). A terminal keeps its group.
func (c *compiler) giveStreams() {
	if !c.plan.Plain {
		return
	}
	gid := num(0)
	if c.plan.Process.Terminal {
		gid = named(^uint64(0), "-1")
	}
	for fd := range firstFile {
		c.try("give a stream to the user", "User", "fchown", unix.SYS_FCHOWN, nil, num(fd), num(c.plan.Process.User.UID), gid)
	}
}

// dropGroups is for before a user namespace is joined, which may deny setgroups: the
// process would have the groups of dx's caller, which the host's files still know
// (CVE-2022-36109, CVE-2022-2990). EPERM: the caller has no right to it, and no
// groups that were not its own.
func (c *compiler) dropGroups() {
	c.try("leave the caller's supplementary groups", "CVE-2022-36109", "setgroups", unix.SYS_SETGROUPS, []unix.Errno{unix.EPERM}, num(0), num(0))
}

// becomeRoot gives up the ids of dx's caller. A namespace that does not map them is
// left to setIDs where that follows; else the process would keep the caller's.
func (c *compiler) becomeRoot(idsFollow bool) {
	gid := c.call("become root's group in the user namespace", "runc", "setresgid", unix.SYS_SETRESGID, num(0), num(0), num(0))
	uid := c.call("become root in the user namespace", "runc", "setresuid", unix.SYS_SETRESUID, num(0), num(0), num(0))
	if idsFollow {
		gid.onError, gid.errnos = goNext, []unix.Errno{unix.EINVAL}
		uid.onError, uid.errnos = goNext, []unix.Errno{unix.EINVAL}
	}
}

func (c *compiler) setns(j Join) *Step { return c.add(c.setnsStep(j)) }

func (c *compiler) setnsStep(j Join) *Step {
	return &Step{
		Name: "setns", Nr: unix.SYS_SETNS, Doing: "join the " + longName(j.Type) + " namespace", Origin: c.origin("Namespaces"),
		Args: []Arg{c.file(j.File, "target"), named(j.Type.CloneFlag(), cloneName(j.Type))},
	}
}

func longName(t nsops.Type) string {
	switch t {
	case nsops.Mnt:
		return "mount"
	case nsops.Net:
		return "network"
	}
	return string(t)
}

func cloneName(t nsops.Type) string {
	names := map[nsops.Type]string{
		nsops.Cgroup: "CLONE_NEWCGROUP", nsops.IPC: "CLONE_NEWIPC", nsops.Mnt: "CLONE_NEWNS", nsops.Net: "CLONE_NEWNET",
		nsops.PID: "CLONE_NEWPID", nsops.Time: "CLONE_NEWTIME", nsops.User: "CLONE_NEWUSER", nsops.UTS: "CLONE_NEWUTS",
	}
	return names[t]
}

// enterRoot takes the root that was opened before: that of the mount namespace, or for a
// process that was named by its number its own.
func (c *compiler) enterRoot() {
	if c.plan.Root == nil {
		return
	}
	c.call("go to the target's root", "", "fchdir", unix.SYS_FCHDIR, c.file(c.plan.Root, "root"))
	c.call("make it the root", "", "chroot", unix.SYS_CHROOT, str("."))
}

func (c *compiler) joinKeyring() {
	if c.plan.Keyring == "" {
		return // leaveKeyring has seen to it
	}
	// runc goes on without keyrings in the kernel (setns_init_linux.go).
	c.try("join the session keyring", "Keyring", "keyctl", unix.SYS_KEYCTL, []unix.Errno{unix.ENOSYS},
		named(unix.KEYCTL_JOIN_SESSION_KEYRING, "KEYCTL_JOIN_SESSION_KEYRING"), str(c.plan.Keyring))
}

// leaveKeyring takes a new session keyring, without a name: whoever has the
// caller's can read its keys, in any user namespace. It is for before the join, so
// that the quota of nobody in there counts. EPERM: a filter on dx denies keyctl(2),
// to the command as well.
func (c *compiler) leaveKeyring() {
	c.try("leave the caller's session keyring", "Inherited", "keyctl", unix.SYS_KEYCTL, []unix.Errno{unix.ENOSYS, unix.EPERM},
		named(unix.KEYCTL_JOIN_SESSION_KEYRING, "KEYCTL_JOIN_SESSION_KEYRING"), num(0))
}

// schedule sets what newer runtimes take from the container's configuration.
func (c *compiler) schedule() {
	if p := c.plan.Personality; p != nil {
		v := map[specs.LinuxPersonalityDomain]uintptr{specs.PerLinux: 0, specs.PerLinux32: 8}[p.Domain]
		c.call("set the personality", "Personality", "personality", unix.SYS_PERSONALITY, named(v, string(p.Domain)))
	}
	c.memoryPolicy()
	if io := c.plan.Process.IOPriority; io != nil {
		class, ok := ioClasses[io.Class]
		if !ok {
			c.bad("unknown I/O priority class %q", io.Class)
		}
		c.call("set the I/O priority", "IOPriority", "ioprio_set", unix.SYS_IOPRIO_SET,
			named(1, "IOPRIO_WHO_PROCESS"), num(0), named(class<<13|io.Priority, fmt.Sprintf("%s:%d", io.Class, io.Priority)))
	}
	if s := c.plan.Process.Scheduler; s != nil {
		c.call("set the scheduler", "Scheduler", "sched_setattr", unix.SYS_SCHED_SETATTR,
			num(0), raw(schedBytes(c.schedAttr(s)), fmt.Sprintf("{%s, nice %d, priority %d}", s.Policy, s.Nice, s.Priority)), num(0))
	}
}

var ioClasses = map[specs.IOPriorityClass]int{specs.IOPRIO_CLASS_RT: 1, specs.IOPRIO_CLASS_BE: 2, specs.IOPRIO_CLASS_IDLE: 3}

var schedPolicies = map[specs.LinuxSchedulerPolicy]uint32{
	specs.SchedOther: 0, specs.SchedFIFO: 1, specs.SchedRR: 2, specs.SchedBatch: 3, specs.SchedISO: 4, specs.SchedIdle: 5, specs.SchedDeadline: 6,
}

var schedFlags = map[specs.LinuxSchedulerFlag]uint64{
	specs.SchedFlagResetOnFork: 1, specs.SchedFlagReclaim: 2, specs.SchedFlagDLOverrun: 4, specs.SchedFlagKeepPolicy: 8,
	specs.SchedFlagKeepParams: 16, specs.SchedFlagUtilClampMin: 32, specs.SchedFlagUtilClampMax: 64,
}

// schedAttr is the OCI scheduler in the kernel's terms.
func (c *compiler) schedAttr(s *specs.Scheduler) unix.SchedAttr {
	policy, ok := schedPolicies[s.Policy]
	if !ok {
		c.bad("unknown scheduler policy %q", s.Policy)
	}
	a := unix.SchedAttr{
		Policy: policy, Nice: s.Nice, Priority: uint32(s.Priority), Runtime: s.Runtime, Deadline: s.Deadline, Period: s.Period,
	}
	for _, f := range s.Flags {
		a.Flags |= schedFlags[f]
	}
	return a
}
