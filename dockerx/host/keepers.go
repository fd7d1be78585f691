package host

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/proc"
)

// glance is what a process says of itself, at no more cost than the names of links: nothing
// has been opened yet, nor believed.
type glance struct {
	pid      int
	hidden   bool   // it may not be looked at, and may be anything
	pidns    string // as its link reads, if it is in another PID namespace than dx
	serves   string // the ID of the bundle in which it stands
	monitors bool   // its program keeps a manager's containers
	dockerd  bool   // its program is called so
}

// glanceAt leaves alone what may not answer: of the working directory it takes the name.
func glanceAt(pid int, here string) glance {
	g := glance{pid: pid}
	ns, err := proc.ReadlinkOf(pid, "ns/pid")
	switch {
	case errors.Is(err, fs.ErrPermission):
		// Root that lacks rights may be unable to look at init, which is no shim.
		g.hidden = pid != 1 || os.Geteuid() != 0
		return g
	case err != nil: // gone
		return g
	case ns != here:
		g.pidns = ns
		return g
	}
	cwd, err := proc.ReadlinkOf(pid, "cwd")
	if err != nil {
		return g
	}
	if _, id, ok := splitBundlePath(cutDeleted(cwd)); ok {
		g.serves = id
		return g
	}
	exe, _ := proc.ReadlinkOf(pid, "exe")                    // a kernel thread has none
	g.monitors, g.dockerd = runsMonitor(exe), isDockerd(exe) // a conmon is where `podman run` was typed
	return g
}

// glances looks at processes, but at none whose session was begun in another PID namespace
// than dx's. It is in that one or in one below, since a session is entered by being born in
// it alone: it is no keeper, nor the first process of a namespace right below dx's. Asking
// for the session costs a sixth of a look. Its number means no other process as long as
// anybody is in it.
func glances(pids []int, look func(pid int) glance) []glance {
	pids = slices.Sorted(slices.Values(pids))
	seen := make([]glance, len(pids))
	var leaders, members []int // indices
	leaderOf := make([]int, len(pids))
	for i, pid := range pids {
		sid, err := unix.Getsid(pid)
		at, known := slices.BinarySearch(pids, sid)
		if err != nil || sid == pid || !known {
			leaders = append(leaders, i)
			continue
		}
		leaderOf[i] = at
		members = append(members, i)
	}
	lookAt := func(which []int) {
		nsops.Spread(len(which), func(n int) { seen[which[n]] = look(pids[which[n]]) })
	}
	lookAt(leaders)
	lookAt(slices.DeleteFunc(members, func(i int) bool { return seen[leaderOf[i]].pidns != "" }))
	return seen
}

// runsMonitor reports whether a program is called as a monitor's.
func runsMonitor(exe string) bool { return isMonitor(path.Base(cutDeleted(exe))) }

// asKeeper opens a process that is a shim, or another manager's monitor, whose word counts;
// nil if it is none.
func (l *Listing) asKeeper(g glance) (*believed, *monitor, *Doubt) {
	if g.serves == "" {
		m, doubt := l.asMonitor(g.pid)
		return nil, m, doubt
	}
	shim, doubt := l.asShim(g.pid, g.serves)
	if exe, err := proc.ReadlinkOf(g.pid, "exe"); doubt != nil && err == nil && runsMonitor(exe) {
		if m, _ := l.asMonitor(g.pid); m != nil {
			return nil, m, nil
		}
	}
	return shim, nil, doubt
}

func (l *Listing) asShim(pid int, id string) (*believed, *Doubt) {
	p, err := proc.OpenDir(pid)
	if err != nil {
		return nil, nil
	}
	status, err := l.trust.Shim(p, id)
	if err != nil {
		p.Close()
		if errors.Is(err, errNoShim) || IsGone(err) { // a zombie has no program
			return nil, nil
		}
		return nil, &Doubt{ID: id, Err: err}
	}
	return &believed{Process: p, status: status}, nil
}

// firstTable is how many descriptors a process has room for at first (NR_OPEN_DEFAULT,
// include/linux/fdtable.h).
const firstTable = 64

// growTable has the kernel make dx's table of descriptors large enough for so many more, at
// once and in the background. By itself it doubles, and in a process with threads waits
// each time for an RCU grace period (expand_fdtable, fs/file.c).
func growTable(n int) {
	var limit unix.Rlimit
	if n < firstTable/2 || unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return
	}
	last := min(uint64(n+firstTable), limit.Cur-1)
	go func() {
		fd, err := unix.Open("/", unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return
		}
		defer unix.Close(fd)
		if far, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, int(last)); err == nil {
			unix.Close(far)
		}
	}()
}
