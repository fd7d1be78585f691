package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"dx/dockerx/docker"
	"dx/dockerx/engine"
	"dx/dockerx/host"
	"dx/nsops/proc"
	"dx/nsops/unixdiag"
)

// Options configure an examination.
type Options struct {
	Host       string // as docker -H; empty: DOCKER_HOST, then the docker context
	Context    string // as docker --context; not with Host
	TLS        engine.TLSFiles
	Timeout    time.Duration // of each probe; 0: one second
	APITimeout time.Duration // of each call to the engine; 0: Timeout

	Progress func(Progress) // may be nil; called by one goroutine at a time
}

// Examination is a host under examination. It holds its daemons and shims open, so
// that what is found and what is dumped later are the same processes.
type Examination struct {
	o       Options
	address engine.Address
	client  *engine.Client
	runner  *runner

	// What the first probes find and the later ones look at. A probe that is late
	// may still write: everything goes through mu.
	mu         sync.Mutex
	sockets    []unixdiag.Socket
	trust      *host.Trust
	shims      []*host.Shim
	kernel     []container // what the kernel runs, of any engine
	listed     []engine.Summary
	details    []*docker.Container
	asked      bool // the engine has given its list
	alive      bool // ping answered
	dockerd    *proc.Process
	containerd *proc.Process
	settings   settings      // of dockerd
	believed   bool          // dockerd's word counts
	connected  bool          // somebody takes connections on the socket
	others     []settings    // of the dockerds that were not asked, where nobody listens
	beside     []otherEngine // daemons of other engines
	keepers    []keeper      // of containers of other engines
	open       []*proc.Process
	engine     Engine
}

// container is one that probes look at.
type container struct {
	ID, Name string
	PID      int
	found    *host.Found
	shim     *host.Shim // nil: none lives
}

// New prepares an examination; it asks nobody yet.
func New(o Options) (*Examination, error) {
	if o.Timeout == 0 {
		o.Timeout = time.Second
	}
	if o.APITimeout == 0 {
		o.APITimeout = o.Timeout
	}
	address, err := engine.ResolveAddress(engine.Flags{Host: o.Host, Context: o.Context, TLS: o.TLS}, os.Getenv)
	if err == nil && strings.HasPrefix(address.Host, "ssh://") {
		err = fmt.Errorf("engine %s is on another host: dx examines the host that it runs on", address.Host)
	}
	if err != nil {
		return nil, err
	}
	client, err := engine.New(address, o.APITimeout)
	if err != nil {
		return nil, err
	}
	return &Examination{
		o: o, address: address, client: client, engine: Engine{Host: address.Host, root: os.Geteuid() == 0},
		runner: newRunner(max(o.Timeout, o.APITimeout), o.Progress),
	}, nil
}

// Close releases what the examination holds.
func (p *Examination) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	errs := []error{p.client.Close()}
	for _, s := range p.shims {
		errs = append(errs, s.Close())
	}
	for _, pr := range p.open {
		errs = append(errs, pr.Close())
	}
	p.shims, p.open = nil, nil
	return errors.Join(errs...)
}

// Examine probes everything and makes a report. It ends within some five times
// Options.Timeout, whatever hangs, and on a machine that keeps dx itself from running
// some patience later.
//
// Who was asked is looked at afterwards: what the kernel says of a daemon that did not
// answer is to be of the time when it did not.
func (p *Examination) Examine(ctx context.Context) *Report {
	begin := time.Now()
	var asked sync.WaitGroup
	asked.Go(func() {
		p.runner.run(ctx, []probe{question("ping", p.ping), question("version", p.version), question("list", p.list)})
	})
	p.runner.run(ctx, []probe{look("unix sockets", p.findSockets), look("shims", p.findShims), look("containers", p.findContainers)})
	p.runner.run(ctx, []probe{look("socket", p.socket)})
	p.runner.run(ctx, []probe{look("settings of dockerd", p.learn)})
	p.runner.run(ctx, []probe{question("containerd", p.askContainerd), question("data root", p.checkStorage), look("other engines", p.findOthers)})
	asked.Wait()
	p.runner.run(ctx, []probe{look("process of dockerd", p.checkDockerd), look("process of containerd", p.checkContainerd)})
	p.mu.Lock()
	p.scope()
	p.mu.Unlock()
	p.runner.run(ctx, append(p.questions(), p.askOthers()...))
	p.runner.run(ctx, p.looks())
	p.runner.run(ctx, []probe{look("records", p.reconcile), look("restarts", p.life)})
	return p.report(time.Since(begin))
}

func (p *Examination) report(took time.Duration) *Report {
	p.runner.mu.Lock()
	defer p.runner.mu.Unlock()
	p.mu.Lock()
	defer p.mu.Unlock()
	v, severity := Diagnose(p.runner.findings, p.engine)
	return &Report{
		Status: severity.String(), Verdict: v, Engine: p.engine,
		Findings: sorted(p.runner.findings), Probes: append([]Probed{}, p.runner.probed...), Took: took,
	}
}

// keep lets the examination own a process.
func (p *Examination) keep(pr *proc.Process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = append(p.open, pr)
}

func (p *Examination) findSockets(context.Context) []Finding {
	list, err := unixdiag.Sockets()
	trust, errTrust := host.NewTrust()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sockets = list
	if errTrust == nil {
		p.trust = &trust
	}
	if err := errors.Join(err, errTrust); err != nil {
		return []Finding{found(unchecked, "unix sockets were not checked: %v", err)}
	}
	return nil
}

func (p *Examination) findShims(context.Context) []Finding {
	list, err := host.Shims()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shims = list
	if err != nil {
		return []Finding{found(unchecked, "shims were not checked: %v", err)}
	}
	return nil
}

func (p *Examination) findContainers(context.Context) []Finding {
	var out []Finding
	list, err := kernelList(func(err error) { out = append(out, found(unchecked, "%v", err)) })
	if err != nil {
		return append(out, found(unchecked, "containers were not checked: %v", err))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kernel, p.keepers = list, keepersOf(list)
	return out
}

// kernelList lists the containers that run, with what Docker has written down of each.
func kernelList(warn func(error)) ([]container, error) {
	l, err := host.List(warn)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	var out []container
	for _, f := range l.Found {
		out = append(out, container{ID: f.ID, Name: f.Name(), PID: f.PID, found: f})
	}
	return out, nil
}

// scope leaves only the containers and shims of this engine, and brings both together.
func (p *Examination) scope() {
	listed := map[string]string{}
	running := 0
	for _, s := range p.listed {
		listed[s.ID] = s.Name
		if s.State == "running" || s.State == "paused" {
			running++
		}
	}
	byID := map[string]*host.Shim{}
	for _, s := range p.shims {
		byID[s.ID] = s
	}
	var mine []container
	for _, c := range p.kernel {
		name, ok := listed[c.ID]
		if !ok && !p.ours(c) {
			continue
		}
		if name != "" {
			c.Name = name
		}
		c.shim = byID[c.ID]
		mine = append(mine, c)
	}
	p.kernel = mine
	p.engine.Running = len(mine)
	if p.engine.Doubt != "" {
		p.engine.Running = running
	}
}
