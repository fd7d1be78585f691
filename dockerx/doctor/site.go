package doctor

import (
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"dx/nsops/proc"
)

// Where an engine stands
//
// What an engine says of its containers can be held against this host's kernel only if
// the engine is a dockerd of this host whose word counts (host.Trust). Behind a socket
// there may as well be an engine of another host, virtual machine or PID namespace, a
// user's, podman, or something that passes requests on; and dx may lack the rights to
// look at it. Of all those the answers are reported, and nothing is called missing.

// doubtOf returns why an engine's records cannot be held against this host's kernel;
// empty: they can, or there is no engine.
func (p *Examination) doubtOf(d *proc.Process) string {
	p.mu.Lock()
	connected := p.connected
	p.mu.Unlock()
	path, local := p.socketPath()
	switch {
	case !local:
		return fmt.Sprintf("%s may be another host's engine", p.address.Host)
	case d == nil && connected:
		return fmt.Sprintf("the process that listens on %s cannot be seen from here", path)
	case d == nil:
		return ""
	}
	if reason := p.disbelief(d); reason != nil {
		return reason.Error()
	}
	if name := comm(d.PID); name != "dockerd" {
		return fmt.Sprintf("pid %d, which listens on %s, is called %q", d.PID, path, name)
	}
	return ""
}

// uncheckedRecords says what was left out because of doubt.
func uncheckedRecords(doubt string) Finding {
	return found(unchecked, "containers that are not found here are not called missing, as dockerd is not known to be this host's: %s", doubt)
}

// otherEngines are the settings of the dockerds of this host that were not asked.
func (p *Examination) otherEngines() []settings {
	var out []settings
	pids, _ := proc.PIDs() // none, where /proc cannot be listed
	for _, pid := range pids {
		if comm(pid) != "dockerd" {
			continue
		}
		d, err := proc.Open(pid)
		if err != nil {
			continue
		}
		if p.disbelief(d) == nil {
			out = append(out, settingsOf(d))
		}
		d.Close()
	}
	return out
}

// ours reports whether a container is of the engine that was asked. Its data root tells.
// Where there is no engine any more, it may be anybody's that no other dockerd has.
func (p *Examination) ours(c container) bool {
	switch {
	case p.engine.Doubt != "", c.found.Engine().Owner != 0:
		return false
	case p.dockerd == nil:
		return (c.found.Docker() != nil || c.found.Namespace == "moby") && !p.claimedElsewhere(c)
	case c.found.Docker() != nil:
		return inDataRoot(c, p.engine.DataRoot)
	}
	return c.found.Namespace == "moby" && p.oursBySiblings(c)
}

func (p *Examination) claimedElsewhere(c container) bool {
	return slices.ContainsFunc(p.others, func(s settings) bool {
		return c.found.Docker() != nil && inDataRoot(c, s.dataRoot) || s.execRoot != "" && strings.HasPrefix(c.found.Bundle, s.execRoot+"/")
	})
}

func inDataRoot(c container, root string) bool {
	return strings.HasPrefix(c.found.Docker().Origin, path.Join(root, "containers")+"/")
}

// oursBySiblings goes by the other bundles of the same directory.
func (p *Examination) oursBySiblings(c container) bool {
	for _, other := range p.kernel {
		if other.found.Docker() != nil && path.Dir(other.found.Bundle) == path.Dir(c.found.Bundle) {
			return inDataRoot(other, p.engine.DataRoot)
		}
	}
	return false
}

// orphanedRoot is the data root of an engine that is gone: that of the containers which
// no other dockerd has, if they agree.
func (p *Examination) orphanedRoot() string {
	root := ""
	for _, c := range p.kernel {
		d := c.found.Docker()
		if d == nil || p.claimedElsewhere(c) {
			continue
		}
		of := path.Dir(path.Dir(path.Dir(d.Origin)))
		if root != "" && of != root {
			return ""
		}
		root = of
	}
	return root
}

// Where dockerd is kept, and what it leaves behind.
var (
	programDirs = []string{"usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin", "snap/bin"}
	leftovers   = []string{"var/lib/docker/containers", "var/snap/docker"}
)

// traceOfDocker returns what shows that a host has Docker; empty: it has none. root is
// the host's.
func traceOfDocker(root fs.FS) string {
	for _, dir := range programDirs {
		if st, err := fs.Stat(root, path.Join(dir, "dockerd")); err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0 {
			return "/" + path.Join(dir, "dockerd")
		}
	}
	for _, name := range leftovers {
		if _, err := fs.Stat(root, name); err == nil {
			return "/" + name
		}
	}
	return ""
}

// hasDocker reports whether this host has Docker, or had it.
func (p *Examination) hasDocker(root fs.FS) bool {
	if traceOfDocker(root) != "" {
		return true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.others) > 0 {
		return true
	}
	return slices.ContainsFunc(p.kernel, func(c container) bool { return c.found.Namespace == "moby" })
}

// noDocker is what is said of a host where nobody has asked for an engine by name, and
// that has none.
func (p *Examination) noDocker() Finding {
	p.mu.Lock()
	defer p.mu.Unlock()
	return found(noDocker, "no dockerd here: %s", otherManagers(p.kernel, monitors()))
}

// otherManagers says what runs without Docker: "containerd:k8s.io runs 2 containers, podman
// runs 1 container". Of Podman and CRI-O there may be more monitors than containers that
// could be looked at.
func otherManagers(list []container, monitors int) string {
	byEngine := map[string]int{}
	for _, c := range list {
		if e := c.found.Engine(); !e.Docker {
			byEngine[c.found.EngineName()]++
			if e.Manager == "podman" || e.Manager == "cri-o" {
				monitors--
			}
		}
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(byEngine)) {
		parts = append(parts, name+" "+runs(byEngine[name]))
	}
	if monitors > 0 {
		parts = append(parts, fmt.Sprintf("podman or CRI-O %s (conmon)", runs(monitors)))
	}
	if len(parts) == 0 {
		return "no other engine's containers were found"
	}
	return strings.Join(parts, ", ")
}

func runs(n int) string { return "runs " + count(n, "container") }

// monitors counts the processes that are called as podman and CRI-O call those which
// they leave with each container.
func monitors() int {
	n := 0
	pids, _ := proc.PIDs() // none, where /proc cannot be listed
	for _, pid := range pids {
		if comm(pid) == "conmon" {
			n++
		}
	}
	return n
}
