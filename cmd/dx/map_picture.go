package main

import (
	"cmp"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"dx/cmd/dx/output"
	"dx/cmpdiff"
	"dx/cmpdiff/draw"
	"dx/dockerx"
	"dx/dockerx/docker"
	"dx/dockerx/host"
	"dx/dockerx/namespaces"
	"dx/nsops/escape"
)

// madeNow is on which host a picture was made, and when.
func madeNow() string {
	name, err := os.Hostname()
	if err != nil {
		name = "an unnamed host"
	}
	return name + ", " + time.Now().Format("2006-01-02 15:04 MST")
}

// newPicture has each process once, by name; the host is around them. Of a list it takes
// what has no process. dx is how commands begin that a reader may copy.
func newPicture(dx string, host namespaces.Subject, found []namespaces.Subject, listed []dockerx.Listed) draw.Picture {
	seen := map[int]bool{host.PID: true}
	var drawn []namespaces.Subject
	var subjects []cmpdiff.Subject
	var p draw.Picture
	for _, s := range slices.SortedFunc(slices.Values(found), byName) {
		if seen[s.PID] {
			continue
		}
		seen[s.PID] = true
		drawn = append(drawn, s)
		subjects = append(subjects, cmpdiff.Subject{Name: s.Name, Namespaces: s.Set})
		p.Boxes = append(p.Boxes, newBox(s))
		p.Boxes[len(p.Boxes)-1].Command = execInto(dx, s)
	}
	if severalEngines(drawn, func(s namespaces.Subject) string { return s.Engine }) {
		for i, s := range drawn {
			p.Boxes[i].Engine = engineWord(s.Engine)
		}
	}
	p.Map = cmpdiff.Compare(cmpdiff.Subject{Name: host.Name, Namespaces: host.Set}, subjects...).Map(podsOf(drawn, p.Boxes)...)
	for _, l := range listed {
		if l.PID == 0 && !l.Sandbox {
			p.Stopped = append(p.Stopped, newStopped(l))
		}
	}
	slices.SortStableFunc(p.Stopped, func(a, b draw.Stopped) int { return strings.Compare(a.Name, b.Name) })
	return p
}

// engineWord is an engine in a word where there is one: a socket is docker's.
func engineWord(engine string) string {
	if strings.Contains(engine, "://") {
		return "docker"
	}
	return engine
}

func byName(a, b namespaces.Subject) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID), cmp.Compare(a.PID, b.PID))
}

func newBox(s namespaces.Subject) draw.Box {
	b := draw.Box{
		ID: s.ID, PID: s.PID, Image: shortImage(s.Image), Label: s.Pod.Container,
		Ports: portTexts(s.Ports), Networks: s.Networks, Volumes: volumeNames(s.Mounts),
	}
	if s.Paused {
		b.State = "paused"
	}
	return b
}

func newStopped(l dockerx.Listed) draw.Stopped {
	networks := make([]string, 0, len(l.Networks))
	for name := range l.Networks {
		networks = append(networks, name)
	}
	slices.Sort(networks)
	return draw.Stopped{Name: l.Name, Box: draw.Box{
		ID: l.ID, Image: shortImage(l.Image), State: l.Status, Networks: networks, Volumes: volumeNames(l.Mounts),
	}}
}

// portTexts are published ports: a port that all addresses have once.
func portTexts(ports []dockerx.Port) (out []string) {
	for _, p := range ports {
		text := strconv.Itoa(int(p.Host.Port())) + "→" + strconv.Itoa(int(p.Container))
		if !p.Host.Addr().IsUnspecified() {
			text = netip.AddrPortFrom(p.Host.Addr(), p.Host.Port()).String() + "→" + strconv.Itoa(int(p.Container))
		}
		if p.Proto != "tcp" {
			text += "/" + p.Proto
		}
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

// volumeNames are names of volumes, and the host's paths of binds.
func volumeNames(mounts []docker.Mount) (out []string) {
	for _, m := range mounts {
		name := m.Name
		switch {
		case docker.IsID(name): // nobody has named it
			name = output.ShortID(name)
		case name == "":
			name = m.Source
		}
		if name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// podsOf are the pods of what is drawn. A sandbox is drawn as the frame of its pod, if
// that has another container.
func podsOf(drawn []namespaces.Subject, boxes []draw.Box) []cmpdiff.Family {
	type key struct{ engine, namespace, name string }
	members := map[key][]int{}
	var order []key
	for i, s := range drawn {
		if s.Pod == (host.Pod{}) {
			continue
		}
		k := key{s.Engine, s.Pod.Namespace, s.Pod.Name}
		if members[k] == nil {
			order = append(order, k)
		}
		members[k] = append(members[k], i)
	}
	var out []cmpdiff.Family
	for _, k := range order {
		out = append(out, cmpdiff.Family{Name: "pod " + k.namespace + "/" + k.name, Members: members[k]})
		for _, i := range members[k] {
			boxes[i].Frame = drawn[i].Pod.Sandbox && len(members[k]) > 1
		}
	}
	return out
}

// commandPrefix is dx as it was told to find containers.
func (a *app) commandPrefix() string {
	dx := "dx"
	if a.host != "" {
		dx += " -H " + escape.Shell(a.host)
	}
	if a.context != "" {
		dx += " --context " + escape.Shell(a.context)
	}
	if a.source != "" && a.source != "auto" {
		dx += " --source " + escape.Shell(a.source)
	}
	return dx
}

// execInto is the command line that gets into a container; empty if none is safe to paste.
func execInto(dx string, s namespaces.Subject) string {
	ref := cmp.Or(s.Ref, s.Name)
	if strings.HasPrefix(ref, "-") || escape.Line(ref) != ref {
		ref = s.ID
	}
	if ref == "" {
		return ""
	}
	return dx + " exec -it " + escape.Shell(ref) + " sh"
}
