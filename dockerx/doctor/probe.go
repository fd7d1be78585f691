package doctor

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"dx/nsops/cgroup"
	"dx/nsops/proc"
)

// probe is one question. It runs beside others; one that does not end is left alone:
// a goroutine in a system call that does not return is nobody's to end, and goes with
// dx.
type probe struct {
	name string
	run  func(context.Context) []Finding

	// kernel says that only this host's kernel is asked. It always answers, however
	// long a busy machine keeps dx itself from running: such a probe has no deadline
	// of its own, and is left alone only where the kernel holds it.
	kernel bool
}

func question(name string, run func(context.Context) []Finding) probe { return probe{name, run, false} }

func look(name string, run func(context.Context) []Finding) probe { return probe{name, run, true} }

// grace is how long before its deadline a probe stops to wait for an answer, so that it
// can still tell, and how long after it one that is merely slow may take.
const grace = 150 * time.Millisecond

// untilAlmost ends grace before a probe's deadline: time to tell, and to end what was
// started.
func untilAlmost(ctx context.Context) (context.Context, context.CancelFunc) {
	if d, ok := ctx.Deadline(); ok {
		return context.WithDeadline(ctx, d.Add(-grace))
	}
	return context.WithCancel(ctx)
}

// patiently asks again where the one who is asked, or the whole machine, has more to do
// than processors: it is late then, and not silent. A process that is stopped is not
// waited for. who may be nil: dockerd.
func (p *Examination) patiently(ctx context.Context, who *proc.Process, timeout time.Duration, ask func(context.Context) error) error {
	end := time.Now().Add(patience / 2)
	for {
		attempt, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		err := ask(attempt)
		cancel()
		if !isTimeout(err) || errors.Is(ctx.Err(), context.Canceled) || time.Now().After(end) || !p.late(who) {
			return err
		}
	}
}

// isTimeout reports whether nobody answered in time: to a request, or on a connection.
func isTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// late reports whether who did not answer may only be waiting for a processor.
func (p *Examination) late(who *proc.Process) bool {
	if who == nil {
		p.mu.Lock()
		who = p.dockerd
		p.mu.Unlock()
	}
	if who == nil {
		return crowded()
	}
	st, err := who.Stat()
	if err != nil || st.State == 't' || who.Stopped(st) != "" {
		return false
	}
	if _, frozen := cgroup.FrozenBy(who); frozen {
		return false
	}
	return who.ThreadIn('R') != "" || crowded()
}

// crowded reports whether twice as many threads want to run as there are processors.
func crowded() bool {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return false
	}
	n, ok := runnableIn(string(b))
	return ok && n > 2*runtime.NumCPU()
}

// runnableIn reads "0.31 0.40 0.22 5/812 12345" (proc_loadavg(5)).
func runnableIn(loadavg string) (int, bool) {
	f := strings.Fields(loadavg)
	if len(f) < 4 {
		return 0, false
	}
	text, _, _ := strings.Cut(f[3], "/")
	n, err := strconv.Atoi(text)
	return n, err == nil
}

// patience is how long an examination waits, beyond its timeouts, for what has not ended
// and is not held by the kernel: a machine with a load of twenty keeps dx itself waiting.
const patience = 30 * time.Second

// Progress tells how far an examination is.
type Progress struct {
	Done, Total int
	Waiting     string // a probe that has not ended
}

// runner runs probes and collects what they find.
type runner struct {
	timeout  time.Duration
	patience time.Duration
	progress func(Progress)

	mu       sync.Mutex
	findings []Finding
	probed   []Probed
	done     int
	waiting  map[string]bool
	end      time.Time // when patience is over
}

// newRunner gives the late ones patience beyond the time that all may take together.
func newRunner(timeout time.Duration, progress func(Progress)) *runner {
	return &runner{timeout: timeout, patience: patience + 10*timeout, progress: progress}
}

// run runs probes side by side until each has ended or is left alone. Those that ask
// somebody have twice the time of one all together, however many they are.
func (r *runner) run(ctx context.Context, probes []probe) {
	r.begin(probes)
	asking, cancel := context.WithTimeout(ctx, 2*r.timeout)
	defer cancel()
	slots := make(chan struct{}, maxProbes)
	var wg sync.WaitGroup
	for _, p := range probes {
		if !r.slot(asking, p, slots) {
			r.record(p, Probed{Name: p.name, Late: true}, []Finding{found(unchecked, "no time was left for the probe %q", p.name)})
			continue
		}
		wg.Go(func() {
			defer func() { <-slots }()
			if p.kernel {
				r.one(ctx, p)
				return
			}
			limited, cancel := context.WithTimeout(asking, r.timeout)
			defer cancel()
			r.one(limited, p)
		})
	}
	wg.Wait()
}

func (r *runner) begin(probes []probe) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting == nil {
		r.waiting = map[string]bool{}
		r.end = time.Now().Add(r.patience)
	}
	for _, p := range probes {
		r.waiting[p.name] = true
	}
}

// maxProbes is how many run at a time: each may hold a thread in the kernel.
const maxProbes = 64

// slot waits for one as long as the probe may.
func (r *runner) slot(asking context.Context, p probe, slots chan<- struct{}) bool {
	over := time.NewTimer(time.Until(r.end))
	defer over.Stop()
	done := asking.Done()
	if p.kernel {
		done = nil
	}
	select {
	case slots <- struct{}{}:
		return true
	default:
	}
	select {
	case slots <- struct{}{}:
		return true
	case <-done:
	case <-over.C:
	}
	return false
}

func (r *runner) one(ctx context.Context, p probe) {
	begin := time.Now()
	result, thread := make(chan []Finding, 1), make(chan int, 1)
	go func() {
		if p.kernel {
			runtime.LockOSThread() // its state is the probe's
			defer runtime.UnlockOSThread()
		}
		thread <- unix.Gettid()
		result <- p.run(ctx)
	}()
	list, ended := r.wait(ctx, p, <-thread, result)
	took := time.Since(begin)
	if !ended {
		list = []Finding{found(probeLate, "the probe %q did not end within %v", p.name, took.Round(100*time.Millisecond))}
	}
	r.record(p, Probed{Name: p.name, Took: took, Late: !ended}, list)
}

// wait waits for a probe's result. Who asks somebody has a deadline and ends by itself,
// as soon as the machine lets it; who looks at the kernel may be held there.
func (r *runner) wait(ctx context.Context, p probe, thread int, result <-chan []Finding) ([]Finding, bool) {
	over := time.NewTimer(time.Until(r.end))
	defer over.Stop()
	looks := 0
	for pause := r.timeout + grace; ; pause = asleep {
		again := time.NewTimer(pause)
		defer again.Stop()
		select {
		case list := <-result:
			return list, true
		case <-over.C:
			return nil, false
		case <-again.C:
			if !p.kernel {
				continue
			}
			if looks++; !held(thread) {
				looks = 0
			}
			if ctx.Err() != nil || looks >= heldLooks(crowded()) {
				return nil, false
			}
		}
	}
}

// heldLooks is how many looks on end must find a probe held by the kernel. On a machine
// that has too much to do, a thread waits long for a page or a lock that it gets.
func heldLooks(crowded bool) int {
	if crowded {
		return 10
	}
	return 1
}

// held reports whether the kernel holds a probe: its own thread, or, where that one
// waits for others of dx, any of them.
func held(thread int) bool {
	self, err := proc.Self()
	if err != nil {
		return false
	}
	defer self.Close()
	b, err := self.ReadFile("task/" + strconv.Itoa(thread) + "/stat")
	if err != nil {
		return false
	}
	st, err := proc.ParseStat(b)
	return err == nil && st.State != 'R' && len(blockedThreads(self)) > 0
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
