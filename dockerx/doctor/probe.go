package doctor

import (
	"context"
	"sync"
	"time"
)

// probe is one question. It runs beside others; when its deadline is over it is
// left alone: a goroutine in a system call that does not return is nobody's to
// end, and goes with dx.
type probe struct {
	name string
	run  func(context.Context) []Finding
}

// grace is how long after its context ended a probe may take to notice.
const grace = 150 * time.Millisecond

// Progress tells how far an examination is.
type Progress struct {
	Done, Total int
	Waiting     string // a probe that has not ended
}

// runner runs probes and collects what they find.
type runner struct {
	timeout  time.Duration
	progress func(Progress)

	mu       sync.Mutex
	findings []Finding
	probed   []Probed
	done     int
	waiting  map[string]bool
}

// run runs probes side by side until each has ended or is late. All together have
// twice the time of one, however many they are.
func (r *runner) run(ctx context.Context, probes []probe) {
	r.mu.Lock()
	if r.waiting == nil {
		r.waiting = map[string]bool{}
	}
	for _, p := range probes {
		r.waiting[p.name] = true
	}
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 2*r.timeout)
	defer cancel()
	slots := make(chan struct{}, maxProbes)
	var wg sync.WaitGroup
	for _, p := range probes {
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			r.record(p, Probed{Name: p.name, Late: true}, []Finding{found(NotLookedAt, "no time was left for the probe %q", p.name)})
			continue
		}
		wg.Go(func() {
			defer func() { <-slots }()
			r.one(ctx, p)
		})
	}
	wg.Wait()
}

// maxProbes is how many run at a time: each may hold a thread in the kernel.
const maxProbes = 64

func (r *runner) one(ctx context.Context, p probe) {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	result := make(chan []Finding, 1)
	go func() { result <- p.run(ctx) }()
	var list []Finding
	late := false
	select {
	case list = <-result:
	case <-time.After(r.timeout + grace):
		late = true
		list = []Finding{found(ProbeLate, "the probe %q did not end within %v", p.name, r.timeout)}
	}
	r.record(p, Probed{Name: p.name, Took: time.Since(begin), Late: late}, list)
}

func (r *runner) record(p probe, how Probed, list []Finding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.findings = append(r.findings, list...)
	r.probed = append(r.probed, how)
	r.done++
	delete(r.waiting, p.name)
	if r.progress != nil {
		r.progress(Progress{Done: r.done, Total: r.done + len(r.waiting), Waiting: anyOf(r.waiting)})
	}
}

func anyOf(set map[string]bool) string {
	for name := range set {
		return name
	}
	return ""
}
