package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dx/dockerx/host"
	"dx/nsops/launch"
	"dx/nsops/proc"
	"dx/nsops/rootfs"
	"dx/nsops/unixdiag"
)

// checkDockerd looks at the process behind the socket. It comes after the engine was
// asked: a dockerd that was silent is seen as it stood meanwhile.
func (p *Examination) checkDockerd(context.Context) []Finding {
	p.mu.Lock()
	d := p.dockerd
	p.mu.Unlock()
	if d == nil {
		return nil
	}
	out := checkProcess(d, dockerdRole, fmt.Sprintf("dockerd (pid %d)", d.PID))
	return out
}

// disbelief is why what a process says of itself does not count; nil: it does.
func (p *Examination) disbelief(d *proc.Process) error {
	p.mu.Lock()
	trust := p.trust
	p.mu.Unlock()
	if trust == nil {
		return errors.New("dx knows nothing of itself")
	}
	_, err := trust.Check(d)
	return err
}

// learn takes from dockerd's command line, files and descriptors where it keeps its
// things. Of a process that is not to be believed nothing is taken: its paths lead where
// its user likes, to a file system that never answers, for one.
func (p *Examination) learn(context.Context) []Finding {
	p.mu.Lock()
	d := p.dockerd
	p.mu.Unlock()
	doubt := p.doubtOf(d)
	var s settings
	believed := d != nil && p.disbelief(d) == nil
	if believed {
		s = settingsOf(d)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settings, p.believed, p.engine.Doubt = s, believed, doubt
	if d != nil {
		p.engine.PID, p.engine.Process, p.engine.Unit, p.engine.LiveRestore = d.PID, comm(d.PID), unitOf(d), s.liveRestore
	}
	p.engine.DataRoot, p.engine.ExecRoot = s.dataRoot, s.execRoot
	if d == nil && doubt == "" {
		p.engine.DataRoot = p.orphanedRoot()
	}
	if doubt != "" {
		return []Finding{uncheckedRecords(doubt)}
	}
	return nil
}

// checkStorage looks at the disk under the data root.
func (p *Examination) checkStorage(ctx context.Context) []Finding {
	p.mu.Lock()
	root := p.engine.DataRoot
	p.mu.Unlock()
	if root == "" {
		return nil
	}
	return p.storage(ctx, root)
}

// settings are the parts of dockerd's configuration that matter here.
type settings struct {
	dataRoot, execRoot string
	liveRestore        bool
	containerd         string // --containerd
}

// settingsOf reads them from the command line and daemon.json, and corrects them by
// what dockerd has open: that is where it really works.
func settingsOf(d *proc.Process) settings {
	s := settings{dataRoot: "/var/lib/docker", execRoot: "/var/run/docker"}
	args, _, _ := d.CommandLine(1 << 20)
	config := flagOf(args, "config-file")
	if config == "" {
		config = "/etc/docker/daemon.json"
	}
	s.file(d, config)
	for name, to := range map[string]*string{"data-root": &s.dataRoot, "exec-root": &s.execRoot, "containerd": &s.containerd} {
		if v := flagOf(args, name); v != "" {
			*to = v
		}
	}
	switch flagOf(args, "live-restore") {
	case "true":
		s.liveRestore = true
	case "false":
		s.liveRestore = false
	}
	if root := host.OpenDataRoot(d.PID); root != "" {
		s.dataRoot = root
	}
	return s
}

func (s *settings) file(d *proc.Process, name string) {
	var deputy launch.Deputy
	defer deputy.Close()
	root, err := rootfs.Open(d, &deputy, "dockerd")
	if err != nil {
		return
	}
	defer root.Close()
	b, err := root.ReadFile(name)
	if err != nil {
		return
	}
	var c struct {
		DataRoot    string `json:"data-root"`
		ExecRoot    string `json:"exec-root"`
		LiveRestore bool   `json:"live-restore"`
		Containerd  string `json:"containerd"`
	}
	if json.Unmarshal(b, &c) != nil {
		return
	}
	s.liveRestore, s.containerd = c.LiveRestore, c.Containerd
	if c.DataRoot != "" {
		s.dataRoot = c.DataRoot
	}
	if c.ExecRoot != "" {
		s.execRoot = c.ExecRoot
	}
}

// flagOf finds --name VALUE, --name=VALUE or a bare --name ("true") in a command
// line; the last one counts. Go's flag package, which a shim uses, takes one dash.
func flagOf(cmdline []byte, name string) string {
	args := strings.Split(string(bytes.TrimRight(cmdline, "\x00")), "\x00")
	value := ""
	for i, a := range args {
		rest, ok := strings.CutPrefix(strings.TrimPrefix(strings.TrimPrefix(a, "-"), "-"), name)
		v, assigned := strings.CutPrefix(rest, "=")
		switch {
		case !strings.HasPrefix(a, "-") || !ok:
		case assigned:
			value = v
		case rest != "":
		case i+1 < len(args) && !strings.HasPrefix(args[i+1], "-"):
			value = args[i+1]
		default:
			value = "true"
		}
	}
	return value
}

// peersOf are the sockets at the other ends of a process's connections.
func peersOf(pid int, sockets []unixdiag.Socket) []unixdiag.Socket {
	byInode := map[uint32]unixdiag.Socket{}
	for _, s := range sockets {
		byInode[s.Inode] = s
	}
	var out []unixdiag.Socket
	for _, link := range links(pid) {
		var inode uint32
		if _, err := fmt.Sscanf(link, "socket:[%d]", &inode); err != nil {
			continue
		}
		if peer, ok := byInode[byInode[inode].Peer]; ok && peer.Inode != 0 {
			out = append(out, peer)
		}
	}
	return out
}

// connected reports whether a process has the other end of one of d's connections.
func connected(d, other int, sockets []unixdiag.Socket) bool {
	theirs := links(other)
	for _, peer := range peersOf(d, sockets) {
		if slices.Contains(theirs, fmt.Sprintf("socket:[%d]", peer.Inode)) {
			return true
		}
	}
	return false
}

// statRoot opens a directory as a process sees it; dx's own root where there is none.
func statRoot(p *proc.Process) (*os.File, error) {
	if p == nil {
		return os.OpenFile("/", unix.O_PATH|unix.O_DIRECTORY, 0)
	}
	return p.OpenFile("root", unix.O_PATH|unix.O_DIRECTORY)
}
