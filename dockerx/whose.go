package dockerx

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"

	"dx/dockerx/host"
	"dx/nsops"
	"dx/nsops/proc"
)

// OtherHostError says that an engine is not this host's, or not this kernel's. No
// container here is the one that is meant.
type OtherHostError struct {
	Engine string // its address
	Host   string // of it, where ssh leads; empty: not known
	Reason string
}

func (e *OtherHostError) Error() string {
	return fmt.Sprintf("the engine at %s is another host's (%s): no container of this host is meant", e.Engine, e.Reason)
}

// whose is what could be found out about the engine without an answer of its own.
type whose struct {
	own       host.Engine // zero: not identified
	daemons   []host.Daemon
	elsewhere string // why it is another host's; empty: it may be this one's
}

// whose looks who listens at the engine's address, and where that process keeps its
// containers. It is asked once, and only where the engine gave no answer of use.
func (r *Resolver) whose() whose {
	r.once.Do(func() { r.found = r.lookWhose() })
	return r.found
}

// own is whose the engine's containers are; zero if it could not be found out. Where it
// has called listen(2) itself, it need not be looked for.
func (r *Resolver) own() host.Engine {
	r.ownOnce.Do(func() {
		var w whose
		peers, _ := r.engine.Peers()
		for _, peer := range peers {
			if peer.Process != nil && w.take(peer.Process) {
				r.ownFound = w.own
				return
			}
		}
		r.ownFound = r.whose().own
	})
	return r.ownFound
}

// ownEarly is own while an answer is waited for, if it is known yet from whom.
func (r *Resolver) ownEarly() {
	if peers, _ := r.engine.Peers(); len(peers) > 0 {
		r.own()
	}
}

func (r *Resolver) lookWhose() whose {
	w := whose{daemons: r.lookDaemons()}
	address := r.engine.Host()
	if p, ok := strings.CutPrefix(address, "unix://"); ok {
		r.unixOwner(&w, p)
		return w
	}
	if w.elsewhere = remote(address); w.elsewhere != "" {
		return w
	}
	r.tcpOwner(&w)
	return w
}

// lookDaemons takes the dockerds that a list of the host has met, if there was one.
func (r *Resolver) lookDaemons() []host.Daemon {
	if met := r.dockerds.Load(); met != nil {
		return host.DaemonsAmong(*met)
	}
	return host.Daemons()
}

// unixOwner takes who has called listen(2), or whoever has the socket now: systemd may
// have passed it on.
func (r *Resolver) unixOwner(w *whose, socket string) {
	peers, _ := r.engine.Peers() // a failure tells nothing of where it is
	unseen := false
	for _, peer := range peers {
		if peer.Process == nil {
			unseen = true
		} else if w.take(peer.Process) {
			return
		}
	}
	dockerds, others := r.listeners(socket, w.daemons)
	for _, d := range dockerds {
		w.own = d.Engine()
	}
	for _, p := range others {
		w.take(p)
		p.Close()
	}
	if unseen && len(dockerds)+len(others) == 0 && os.Geteuid() == 0 {
		w.elsewhere = "who listens there is in another PID namespace or kernel"
	}
}

// listeners are those who have the socket at a path; nobody, where that cannot be looked at.
func (r *Resolver) listeners(socket string, daemons []host.Daemon) ([]host.Daemon, []*proc.Process) {
	file, err := r.engine.SocketFile()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return host.ListenersOn(socket, file.Ino, daemons)
}

func (r *Resolver) tcpOwner(w *whose) {
	w.elsewhere = "nobody on this host listens there"
	peers, err := r.engine.Peers()
	if err != nil {
		w.elsewhere = err.Error()
	}
	for _, peer := range peers {
		if peer.Elsewhere {
			w.elsewhere = "its answers come from elsewhere"
		}
		for _, inode := range peer.Inodes {
			for _, p := range host.Holders(inode) {
				st, _ := p.Stat() // only for the text
				w.elsewhere = fmt.Sprintf("pid %d (%s), which listens there, is no dockerd", p.PID, st.Comm)
				taken := w.take(p)
				p.Close()
				if taken {
					w.elsewhere = ""
					return
				}
			}
		}
	}
}

// take notes the data root of a process that is a dockerd.
func (w *whose) take(p *proc.Process) bool {
	if i := slices.IndexFunc(w.daemons, func(d host.Daemon) bool { return d.Is(p) }); i >= 0 {
		w.own = w.daemons[i].Engine()
		return true
	}
	d, ok := host.DaemonOf(p)
	if e, users := host.UserDaemonOf(p); !ok && users {
		w.own = e
		return true
	}
	if ok {
		w.own = d.Engine()
		if !known(w.daemons, d.At) {
			w.daemons = append(w.daemons, d)
		}
	}
	return ok
}

func known(daemons []host.Daemon, at nsops.ID) bool {
	for _, d := range daemons {
		if d.At == at {
			return true
		}
	}
	return false
}

// live are the data roots in which a dockerd runs.
func (w whose) live() map[host.Engine]bool {
	out := map[host.Engine]bool{}
	for _, d := range w.daemons {
		out[d.Engine()] = true
	}
	return out
}

// remote says why an address leads to another host; empty if it need not.
func remote(address string) string {
	u, err := url.Parse(address)
	switch {
	case err != nil:
		return err.Error()
	case u.Scheme == "unix":
		return ""
	case u.Scheme == "ssh":
		return "it is reached by ssh"
	case u.Hostname() == "localhost":
		return ""
	}
	if ip := net.ParseIP(u.Hostname()); ip == nil || !ip.IsLoopback() {
		return u.Hostname() + " is not this host's loopback address"
	}
	return ""
}

// otherHost is the error for an engine that is another host's.
func (r *Resolver) otherHost(reason string) *OtherHostError {
	e := &OtherHostError{Engine: r.engine.Host(), Reason: reason}
	u, err := url.Parse(e.Engine)
	if err == nil && u.Scheme != "unix" && remote(e.Engine) != "" {
		e.Host = u.Hostname()
		if u.User != nil {
			e.Host = u.User.Username() + "@" + e.Host
		}
	}
	return e
}
