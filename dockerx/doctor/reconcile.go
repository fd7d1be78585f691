package doctor

import (
	"context"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	"dx/dockerx/docker"
	"dx/dockerx/host"
	"dx/dockerx/membership"
	"dx/nsops/proc"
)

// claim is what Docker says of a container.
type claim struct {
	ID, Name string
	State    string    // running, paused, exited…
	PID      int       // 0: not said
	Started  time.Time // zero: not said
	Source   string    // "the engine", or the file
}

func (c claim) running() bool { return c.State == "running" || c.State == "paused" }

// kernelState is what the kernel has of a container: its bundle, and the init behind it.
type kernelState struct {
	ID, Name string
	PID      int
	Alive    bool
	Start    uint64 // clock ticks since boot

	StatePID   int    // in the runtime's state; 0: unknown
	StateStart uint64 // the same; 0: unknown

	Stored    claim // of config.v2.json; no ID: not Docker's, or unreadable
	HasStored bool
}

// owner is what the kernel has of a process that Docker names.
type owner struct {
	Alive   bool
	ID      string    // of the container that it is in; empty: in none
	Name    string    // its command's
	Started time.Time // zero: not known
	Parent  string    // its parent's name; empty: not known
	Err     error     // why nothing is known of it
}

// later reports whether a process was certainly started after a container was: it is
// somebody else then. The clocks of kernel and Docker differ a little.
func (o owner) later(c claim) bool {
	return !c.Started.IsZero() && !o.Started.IsZero() && o.Started.After(c.Started.Add(clockSlack))
}

const clockSlack = 5 * time.Second

// hasShim reports whether the process's parent is called as shims are.
func (o owner) hasShim() bool {
	return strings.HasPrefix(o.Parent, "containerd-shim") || strings.HasPrefix(o.Parent, "docker-contain")
}

// compareRecords holds Docker's claims against the kernel, container by container. It
// asks nobody but owner, about processes that Docker names and no bundle has.
// complete says that what is not claimed is not known to Docker.
func compareRecords(claims []claim, kernel []kernelState, complete bool, owner func(int) owner) []Finding {
	var out []Finding
	byID := map[string]kernelState{}
	for _, k := range kernel {
		byID[k.ID] = k
		out = append(out, staleState(k)...)
	}
	claimed := map[string]bool{}
	names := map[string]string{}
	for _, c := range claims {
		claimed[c.ID] = true
		k, ok := byID[c.ID]
		if ok || c.PID != 0 {
			out = append(out, contradiction(c, k, ok && k.Alive, owner)...)
		}
		if first, twice := names[c.Name]; twice && c.Name != "" && first != c.ID {
			out = append(out, found(nameTwice, "two containers are called %s", c.Name).of(container{ID: c.ID, Name: c.Name}).evidence(first, c.ID))
		}
		names[c.Name] = c.ID
	}
	for _, k := range kernel {
		if complete && k.Alive && !claimed[k.ID] {
			out = append(out, found(noRecord, "%s runs (pid %d) and Docker has no record of it", k.Name, k.PID).
				of(container{ID: k.ID, Name: k.Name}).pid(k.PID).evidence("its shim's bundle names it"))
		}
	}
	return out
}

// contradiction compares one claim with the container's init.
func contradiction(c claim, k kernelState, alive bool, owner func(int) owner) []Finding {
	self := container{ID: c.ID, Name: c.Name}
	said := fmt.Sprintf("%s: %s, pid %d", c.Source, c.State, c.PID)
	switch {
	case alive && !c.running() && c.State != "restarting" && c.State != "removing":
		return []Finding{found(stateStale, "Docker calls %s %s while it runs (pid %d)", c.Name, c.State, k.PID).of(self).pid(k.PID).evidence(said)}
	case !c.running() || alive && (c.PID == 0 || c.PID == k.PID):
		return nil
	}
	o := owner(c.PID)
	switch {
	case c.PID != 0 && o.Err != nil:
		return []Finding{found(unchecked, "pid %d, which Docker says is %s, was not checked: %v", c.PID, c.Name, o.Err).of(self)}
	case c.PID == 0 || !o.Alive:
		if alive {
			return []Finding{found(stateStale, "Docker says that %s is pid %d, and it is pid %d", c.Name, c.PID, k.PID).of(self).pid(k.PID).evidence(said)}
		}
		return []Finding{found(noProcess, "Docker calls %s running and it has no process", c.Name).of(self).evidence(said)}
	case o.ID == c.ID && alive:
		return nil // another of its processes: the init is known
	case o.ID == c.ID:
		return shimFinding(c, o, said)
	}
	return strangerFinding(c, o, said)
}

// shimFinding is about a container's process for which no shim was found. That it has
// none shows its parent, to whom the kernel gave it.
func shimFinding(c claim, o owner, said string) []Finding {
	self := container{ID: c.ID, Name: c.Name}
	if o.Parent == "" || o.hasShim() {
		return []Finding{found(unchecked, "the shim of %s was not checked: dx cannot tell which it is", c.Name).of(self).evidence(said)}
	}
	return []Finding{found(shimMissing, "%s runs (pid %d) and its shim is gone", c.Name, c.PID).of(self).pid(c.PID).
		evidence(said, fmt.Sprintf("its parent is called %q", o.Parent))}
}

// strangerFinding is about a process that Docker names and that is not that container's: an
// init may have left it, and one that started later is somebody else.
func strangerFinding(c claim, o owner, said string) []Finding {
	self := container{ID: c.ID, Name: c.Name}
	whose := fmt.Sprintf("pid %d is %q of the host", c.PID, o.Name)
	if o.ID != "" {
		whose = fmt.Sprintf("pid %d is %q of container %s", c.PID, o.Name, o.ID)
	}
	if !o.later(c) {
		return []Finding{found(unchecked, "whether pid %d is %s was not found out: it is not that container's, by its cgroup and namespaces", c.PID, c.Name).of(self).evidence(said, whose)}
	}
	return []Finding{found(pidRecycled, "Docker says that %s is pid %d, which is somebody else", c.Name, c.PID).of(self).pid(c.PID).
		evidence(said, fmt.Sprintf("%s, started %v after the container", whose, o.Started.Sub(c.Started).Round(time.Second)))}
}

// staleState compares the files with the process that they are about.
func staleState(k kernelState) []Finding {
	self := container{ID: k.ID, Name: k.Name}
	var out []Finding
	if !k.Alive {
		return nil
	}
	if k.StatePID != 0 && (k.StatePID != k.PID || k.StateStart != 0 && k.StateStart != k.Start) {
		out = append(out, found(stateStale, "the runtime's state of %s is not about its init", k.Name).of(self).pid(k.PID).
			evidence(fmt.Sprintf("state: pid %d, started at tick %d; kernel: pid %d, tick %d", k.StatePID, k.StateStart, k.PID, k.Start)))
	}
	if k.HasStored && (!k.Stored.running() || k.Stored.PID != k.PID) {
		out = append(out, found(stateStale, "Docker's file of %s is not about its init", k.Name).of(self).pid(k.PID).
			evidence(fmt.Sprintf("%s: %s, pid %d; kernel: pid %d", k.Stored.Source, k.Stored.State, k.Stored.PID, k.PID)))
	}
	return out
}

// reconcile gathers both sides. What contradicts itself once may be a container
// that has just started or ended: it counts if it still does a little later.
func (p *Examination) reconcile(ctx context.Context) []Finding {
	p.mu.Lock()
	doubt := p.engine.Doubt
	p.mu.Unlock()
	if doubt != "" {
		return nil // which has been said
	}
	first := compareRecords(p.claims(), p.kernelSide(), p.asked, p.owners())
	if len(first) == 0 {
		return nil
	}
	time.Sleep(settle)
	limited, cancel := context.WithTimeout(ctx, 2*p.runner.timeout)
	defer cancel()
	p.again(limited, first)
	var out []Finding
	for _, f := range compareRecords(p.claims(), p.kernelSide(), p.asked, p.owners()) {
		for _, g := range first {
			if f.Kind == g.Kind && f.ID == g.ID {
				out = append(out, f)
				break
			}
		}
	}
	return out
}

// again asks both sides once more about what was found; the engine only where it
// has answered before.
func (p *Examination) again(ctx context.Context, about []Finding) {
	if p.asked {
		if list, err := p.client.List(ctx, true); err == nil {
			p.mu.Lock()
			p.listed, p.details = list, nil
			p.mu.Unlock()
		}
	}
	for _, f := range about {
		if !p.asked || ctx.Err() != nil {
			break
		}
		if d, err := p.client.Inspect(ctx, f.ID); err == nil {
			p.mu.Lock()
			p.details = append(p.details, d)
			p.mu.Unlock()
		}
	}
	if list, err := kernelList(func(error) {}); err == nil {
		p.mu.Lock()
		p.kernel = list
		p.scope()
		p.mu.Unlock()
	}
}

// claims are what the engine says; where it says nothing, what it has written.
func (p *Examination) claims() []claim {
	p.mu.Lock()
	defer p.mu.Unlock()
	byID := map[string]*docker.Container{}
	for _, d := range p.details {
		if d.State.Running {
			byID[d.ID] = d
		}
	}
	var out []claim
	for _, s := range p.listed {
		c := claim{ID: s.ID, Name: s.Name, State: s.State, Source: "the engine"}
		if d := byID[s.ID]; d != nil {
			c.PID, c.Started = d.State.Pid, d.State.StartedAt
		}
		out = append(out, c)
	}
	if p.asked || p.engine.DataRoot == "" {
		return out
	}
	return p.stored()
}

// stored are the claims of this engine's files.
func (p *Examination) stored() []claim {
	var running []*host.Found
	for _, c := range p.kernel {
		running = append(running, c.found)
	}
	var out []claim
	for _, d := range host.Stored(running, func(error) {}) {
		if path.Dir(path.Dir(d.Origin)) == path.Join(p.engine.DataRoot, "containers") {
			out = append(out, storedClaim(d))
		}
	}
	return out
}

func storedClaim(d *docker.Container) claim {
	c := claim{ID: d.ID, Name: d.Name, State: "exited", PID: d.State.Pid, Started: d.State.StartedAt, Source: d.Origin}
	switch {
	case d.State.Restarting:
		c.State = "restarting"
	case d.State.Paused:
		c.State = "paused"
	case d.State.Running:
		c.State = "running"
	}
	return c
}

// kernelSide looks at the init of each container.
func (p *Examination) kernelSide() []kernelState {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []kernelState
	for _, c := range p.kernel {
		k := kernelState{ID: c.ID, Name: c.Name, PID: c.PID}
		if d := c.found.Docker(); d != nil {
			k.Stored, k.HasStored = storedClaim(d), true
		}
		if c.shim != nil {
			if st, err := c.shim.StateHead(); err == nil {
				k.StatePID, k.StateStart = st.InitPID, st.InitStart
			}
		}
		switch pr, err := proc.Open(c.PID); {
		case err == nil:
			k.Start = pr.StartTime
			k.Alive = c.shim == nil || child(pr, c.shim.Shim.PID)
			pr.Close()
		case !host.IsGone(err):
			continue // not gone, but not to be looked at
		}
		out = append(out, k)
	}
	return out
}

func child(p *proc.Process, of int) bool {
	st, err := p.Stat()
	return err == nil && st.PPID == of
}

// owners tells whose a process is, among the containers that the kernel shows now. They are
// looked at when it is first asked.
func (p *Examination) owners() func(pid int) owner {
	x := sync.OnceValue(p.membership)
	return func(pid int) owner { return ownerOf(pid, x) }
}

func (p *Examination) membership() *membership.Index {
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []membership.Container
	for _, c := range p.kernel {
		if init, err := proc.Open(c.PID); err == nil {
			defer init.Close()
			list = append(list, membership.Container{ID: c.ID, Init: init})
		}
	}
	return membership.New(list)
}

func ownerOf(pid int, x func() *membership.Index) owner {
	p, err := proc.Open(pid)
	if host.IsGone(err) {
		return owner{}
	}
	if err != nil {
		return owner{Err: err}
	}
	defer p.Close()
	a, err := x().Of(p)
	if err != nil {
		return owner{Err: err}
	}
	o := owner{Alive: true, Name: comm(pid), ID: a.Other}
	if len(a.In) > 0 {
		o.ID = x().ID(a.In[0])
	}
	if o.Started, err = p.Started(); err != nil {
		o.Started = time.Time{}
	}
	if st, err := p.Stat(); err == nil && st.PPID > 0 {
		o.Parent = comm(st.PPID)
	}
	return o
}
