package host

import (
	"bytes"
	"cmp"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/proc"
	"dx/nsops/unixdiag"
)

// Daemon is a dockerd that runs on this host.
type Daemon struct {
	PID  int
	Root string   // its data root, as its own root names it
	At   nsops.ID // <data-root>/containers: see Engine

	start uint64   // of the process: its number may have become another's
	links []string // what some of its descriptors led to: see has
}

// Engine is whose its containers are.
func (d Daemon) Engine() Engine { return Engine{Docker: true, At: d.At} }

// Is reports whether a process is this dockerd.
func (d Daemon) Is(p *proc.Process) bool { return d.PID == p.PID && d.start == p.StartTime }

// Daemons returns the dockerds of this host whose word counts (see Trust).
func Daemons() []Daemon {
	pids, err := proc.PIDs()
	if err != nil {
		return nil
	}
	var mu sync.Mutex
	var called []int
	nsops.Spread(len(pids), func(i int) {
		// One system call for each that is none. Whose program dx may not see, it could not
		// believe either.
		if exe, err := proc.ReadlinkOf(pids[i], "exe"); err == nil && isDockerd(exe) {
			mu.Lock()
			defer mu.Unlock()
			called = append(called, pids[i])
		}
	})
	slices.Sort(called)
	return DaemonsAmong(called)
}

// DaemonsAmong is Daemons where it is known already whose program is called so.
func DaemonsAmong(pids []int) []Daemon {
	var out []Daemon
	for _, pid := range pids {
		p, err := proc.Open(pid)
		if err != nil {
			continue
		}
		if d, ok := DaemonOf(p); ok {
			out = append(out, d)
		}
		p.Close()
	}
	return out
}

func isDockerd(exe string) bool { return strings.HasPrefix(path.Base(exe), "dockerd") }

// DaemonOf returns what dockerd a process is; ok is false if it is none, or if its word
// does not count.
func DaemonOf(p *proc.Process) (d Daemon, ok bool) {
	trust, err := NewTrust()
	if err != nil || !trust.Host(p) {
		return Daemon{}, false
	}
	root, links := dataRoot(p)
	if root == "" {
		return Daemon{}, false
	}
	dir, err := OpenPath(p, root+"/containers")
	if err != nil {
		return Daemon{}, false
	}
	defer dir.Close()
	var st unix.Stat_t
	if unix.Fstat(int(dir.Fd()), &st) != nil || !trusted(&st) || p.Alive() != nil { // else its number may be another's
		return Daemon{}, false
	}
	return Daemon{PID: p.PID, Root: root, At: nsops.IDOf(&st), start: p.StartTime, links: links}, true
}

// has reports whether a descriptor of the dockerd leads there, if it still lives. It listens
// before it opens anything else.
func (d Daemon) has(link string) bool {
	if slices.Contains(d.links, link) {
		return true
	}
	p, err := proc.Open(d.PID)
	if err != nil {
		return false
	}
	defer p.Close()
	return d.Is(p) && slices.Contains(linksOf(d.PID), link)
}

// firstOpened is how many descriptors of a dockerd are looked at for what it opens first.
const firstOpened = 64

// opens reports whether one of the first descriptors of a dockerd is a database of that data
// root, and what those up to it lead to.
func opens(p *proc.Process, root string) (links []string, ok bool) {
	for fd := range firstOpened {
		to, err := p.Readlink("fd/" + strconv.Itoa(fd))
		if err != nil {
			continue
		}
		links = append(links, to)
		if dataRootAmong([]string{to}) == root {
			return links, true
		}
	}
	return links, false
}

// UserDaemonOf returns whose the containers are of a process that is a plain user's dockerd, in
// a user namespace of his.
func UserDaemonOf(p *proc.Process) (Engine, bool) {
	trust, err := NewTrust()
	if err != nil {
		return Engine{}, false
	}
	exe, owner, err := trust.checkOfUser(p)
	if err != nil || !strings.HasPrefix(path.Base(exe.Path), "dockerd") {
		return Engine{}, false
	}
	return Engine{Manager: "docker", Owner: owner}, true
}

// databases are files below its data root that dockerd has open as long as it runs (moby,
// volume/service/store.go, libnetwork's local-kv.db, builder/builder-next). With
// userns-remap the data root is one below that of the command line.
var databases = []string{"/volumes/metadata.db", "/network/files/local-kv.db", "/buildkit/containerdmeta.db", "/buildkit/cache.db"}

// OpenDataRoot returns the data root of a dockerd by what it has open there; empty if it
// has nothing, or if dx may not look.
func OpenDataRoot(pid int) string { return dataRootAmong(linksOf(pid)) }

// dataRootAmong takes the outermost: while dockerd commits a container, it has open whatever
// the container calls like that, which lies below its data root.
func dataRootAmong(links []string) (root string) {
	for _, to := range links {
		for _, database := range databases {
			at, ok := strings.CutSuffix(to, database)
			if ok && (root == "" || at != root && nsops.Below(root, at)) {
				root = at
			}
		}
	}
	return root
}

// dataRoot is where a dockerd keeps its containers: above what it has open; where that cannot
// be seen, where its command line says; empty if neither tells. Of what it has open, which is
// four descriptors for each container, as little is looked at as will do; links are what that
// led to.
func dataRoot(p *proc.Process) (root string, links []string) {
	named := namedRoot(p)
	if named != "" {
		if links, ok := opens(p, named); ok {
			return named, links
		}
	}
	links = linksOf(p.PID)
	return cmp.Or(dataRootAmong(links), named), links
}

// namedRoot is the data root by a dockerd's command line; empty if it is none.
func namedRoot(p *proc.Process) string {
	comm := p.Comm
	if comm == "" { // who it is was not looked at
		st, err := p.Stat()
		if err != nil {
			return ""
		}
		comm = st.Comm
	}
	if !strings.HasPrefix(comm, "dockerd") {
		return ""
	}
	line, err := p.ReadFile("cmdline")
	if err != nil {
		return ""
	}
	return cmp.Or(flagOf(line, "data-root", "graph", "g"), path.Dir(defaultContainers))
}

// flagOf is the value of a flag of a command line as /proc has it: its last one.
func flagOf(cmdline []byte, names ...string) (value string) {
	args := strings.Split(string(bytes.TrimRight(cmdline, "\x00")), "\x00")
	for i, arg := range args {
		for _, name := range names {
			rest, ok := strings.CutPrefix(strings.TrimLeft(arg, "-"), name)
			switch {
			case !ok || !strings.HasPrefix(arg, "-"):
			case strings.HasPrefix(rest, "="):
				value = rest[1:]
			case rest == "" && i+1 < len(args):
				value = args[i+1]
			}
		}
	}
	return value
}

// linksOf are what the descriptors of a process lead to, as far as dx may know.
func linksOf(pid int) []string {
	dir := "/proc/" + strconv.Itoa(pid) + "/fd"
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(maxLinks) // what could be read is looked at
	var out []string
	for _, name := range names {
		if to, err := os.Readlink(dir + "/" + name); err == nil {
			out = append(out, to)
		}
	}
	return out
}

// ListenersOn returns the processes that have a socket open which listens at a path whose
// file has that inode; 0: the file has been removed. If dockerds have it, these alone.
// Processes are the caller's to close.
func ListenersOn(path string, inode uint64, daemons []Daemon) (dockerds []Daemon, others []*proc.Process) {
	sockets, err := unixdiag.Sockets()
	if err != nil {
		return nil, nil
	}
	for _, s := range sockets {
		// The kernel tells 32 bits of the inode's number.
		if !s.Listening || inode != 0 && s.FileInode != uint32(inode) || !sameSocket(s.Name, path) {
			continue
		}
		// This spares a look at all descriptors of all processes where it can.
		link := "socket:[" + strconv.FormatUint(uint64(s.Inode), 10) + "]"
		if i := slices.IndexFunc(daemons, func(d Daemon) bool { return d.has(link) }); i >= 0 {
			dockerds = append(dockerds, daemons[i])
		} else {
			others = append(others, Holders(uint64(s.Inode))...)
		}
	}
	return dockerds, others
}

// sameSocket compares names: systemd says /run/docker.sock where docker says
// /var/run/docker.sock.
func sameSocket(a, b string) bool {
	return strings.TrimPrefix(path.Clean(a), "/var") == strings.TrimPrefix(path.Clean(b), "/var")
}
