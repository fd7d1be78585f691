package host

import (
	"errors"
	"io/fs"
	"iter"
	"os"
	"path"
	"runtime"
	"slices"
	"sync"

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

// glances looks at processes, some of which are told at a time, but at none whose session was
// begun in another PID namespace than dx's. It is in that one or in one below, since a session
// is entered by being born in it alone: it is no keeper, nor the first process of a namespace
// right below dx's. Asking for the session costs a sixth of a look. Its number means no other
// process as long as anybody is in it.
func glances(told iter.Seq[[]int], look func(pid int) glance) []glance {
	some := make(chan []int, 64) // so many that who tells them need not wait
	parts := make([]passed, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i := range parts {
		wg.Go(func() {
			for pids := range some {
				parts[i].take(pids, look)
			}
		})
	}
	for pids := range told {
		some <- pids
	}
	close(some)
	wg.Wait()
	var all passed
	for _, p := range parts {
		all.leaders, all.members = append(all.leaders, p.leaders...), append(all.members, p.members...)
	}
	return all.complete(look)
}

// passed are processes of which the sessions have been asked for.
type passed struct {
	leaders []glance
	members []member
}

// member is a process in a session that another has begun.
type member struct{ pid, session int }

func (p *passed) take(pids []int, look func(pid int) glance) {
	for _, pid := range pids {
		session, err := unix.Getsid(pid)
		switch {
		case err != nil || session == pid:
			p.leaders = append(p.leaders, look(pid))
		case session != 0 || !hasNoProgram(pid):
			p.members = append(p.members, member{pid, session})
		}
	}
}

// hasNoProgram reports whether a process is a kernel thread or a zombie. Kernel threads are in no
// session of dx's PID namespace, and nothing else tells them at once.
func hasNoProgram(pid int) bool {
	_, err := proc.ReadlinkOf(pid, "exe")
	return errors.Is(err, unix.ENOENT)
}

// complete looks at the members that may be keepers, and returns all by their numbers.
func (p *passed) complete(look func(pid int) glance) []glance {
	foreign := map[int]bool{}
	for _, g := range p.leaders {
		if g.pidns != "" {
			foreign[g.pid] = true
		}
	}
	left := slices.DeleteFunc(p.members, func(m member) bool { return foreign[m.session] })
	seen := make([]glance, len(left))
	nsops.Spread(len(left), func(i int) { seen[i] = look(left[i].pid) })
	seen = append(seen, p.leaders...)
	slices.SortFunc(seen, func(a, b glance) int { return a.pid - b.pid })
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
	if doubt == nil {
		return shim, nil, nil
	}
	if exe, err := proc.ReadlinkOf(g.pid, "exe"); err == nil && runsMonitor(exe) {
		if m, _ := l.asMonitor(g.pid); m != nil {
			return nil, m, nil
		}
	}
	return nil, nil, doubt
}

func (l *Listing) asShim(pid int, id string) (*believed, *Doubt) {
	p, err := proc.OpenDir(pid)
	if err != nil {
		return nil, nil
	}
	if err := l.trust.Shim(p, id); err != nil {
		p.Close()
		if errors.Is(err, errNoShim) || IsGone(err) { // a zombie has no program
			return nil, nil
		}
		return nil, &Doubt{ID: id, Err: err}
	}
	return &believed{Process: p}, nil
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
