package doctor

import (
	"fmt"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dx/dockerx/host"
	"dx/nsops/cgroup"
	"dx/nsops/proc"
)

// checkProcess looks at a daemon's process by the kernel alone. subject names it:
// "dockerd (pid 812)".
func checkProcess(p *proc.Process, r role, subject string) []Finding {
	st, err := p.Stat()
	if err != nil {
		if host.IsGone(err) {
			return nil
		}
		return []Finding{found(unchecked, "%s was not checked: %v", subject, err)}
	}
	if freezer, ok := cgroup.FrozenBy(p); ok {
		return []Finding{found(r.is(frozen), "%s is frozen", subject).pid(p.PID).path(freezer).evidence(stateOf(p, st), freezer)}
	}
	if f, ok := checkStopped(p, st, r, subject); ok {
		return []Finding{f}
	}
	var out []Finding
	if stuck := blockedThreads(p); len(stuck) > 0 {
		out = append(out, found(r.is(blocked), "%s of %s in uninterruptible sleep", are(len(stuck), "thread"), subject).pid(p.PID).evidence(stuck...))
	}
	if n, limit := openFiles(p); limit > 0 && n*100 >= limit*95 {
		out = append(out, found(r.is(noFiles), "%s has %d of %d files open", subject, n, limit).pid(p.PID))
	}
	usage := usageOf(p, "")
	for _, hit := range limitHits(usage) {
		out = append(out, found(r.is(atLimit), "%s: %s", subject, hit.text).pid(p.PID).evidence(hit.file))
	}
	if text := starvation(usage); text != "" {
		out = append(out, found(r.is(starved), "%s gets nearly nothing done", subject).pid(p.PID).evidence(text))
	}
	return out
}

func stateOf(p *proc.Process, st proc.Stat) string {
	return fmt.Sprintf("/proc/%d/stat: state %c, %s", p.PID, st.State, count(st.NumThreads, "thread"))
}

// checkStopped reports a process that a signal or a debugger has stopped.
func checkStopped(p *proc.Process, st proc.Stat, r role, subject string) (Finding, bool) {
	if st.State == 't' && p.HeldByTracer(asleep) {
		return found(r.is(traced), "%s is held by a debugger", subject).pid(p.PID).evidence(stateOf(p, st), tracer(p)), true
	}
	if how := p.Stopped(st); how != "" {
		return found(r.is(stopped), "%s is stopped", subject).pid(p.PID).evidence(stateOf(p, st), how, where(p, "")), true
	}
	return Finding{}, false
}

func are(n int, what string) string {
	if n == 1 {
		return "1 " + what + " is"
	}
	return fmt.Sprintf("%d %ss are", n, what)
}

// where says where in the kernel a thread sleeps: its wait channel and the top of
// its stack. task is "task/N/" or empty.
func where(p *proc.Process, task string) string {
	wchan, _ := p.ReadFile(task + "wchan")
	stack, _ := p.ReadFile(task + "stack") // CAP_SYS_ADMIN
	var frames []string
	for line := range strings.Lines(string(stack)) {
		if _, frame, ok := strings.Cut(strings.TrimSpace(line), " "); ok && len(frames) < 4 {
			frame, _, _ = strings.Cut(frame, "+")
			frames = append(frames, frame)
		}
	}
	text := "in " + string(wchan)
	if len(wchan) == 0 || string(wchan) == "0" {
		text = "in the kernel"
	}
	if len(frames) > 0 {
		text += " (" + strings.Join(frames, " < ") + ")"
	}
	return text
}

func tracer(p *proc.Process) string {
	st, err := p.Status()
	if err != nil {
		return ""
	}
	return fmt.Sprintf("traced by pid %d (%s)", st.TracerPID, comm(st.TracerPID))
}

// asleep is how long a thread must have slept uninterruptibly without a break to
// count as blocked: every wait for a disk looks like that for a moment.
const asleep = 500 * time.Millisecond

// blockedThreads are the threads in uninterruptible sleep that have not run once in
// between, with where they are.
func blockedThreads(p *proc.Process) []string {
	before := sleepers(p)
	if len(before) == 0 {
		return nil
	}
	time.Sleep(asleep)
	var out []string
	for tid, switches := range sleepers(p) {
		if was, ok := before[tid]; ok && was == switches {
			out = append(out, fmt.Sprintf("thread %s: state D for over %v, %s", tid, asleep, where(p, "task/"+tid+"/")))
		}
	}
	slices.Sort(out)
	return out
}

// sleepers are the threads in state D, with how often each has been switched out.
func sleepers(p *proc.Process) map[string]string {
	out := map[string]string{}
	for _, tid := range p.Threads() {
		if st, err := p.ThreadStat(tid); err == nil && st.State == 'D' {
			out[tid] = p.Switches("task/" + tid + "/")
		}
	}
	return out
}

// openFiles counts descriptors, and what may be open at most; 0: without limit.
func openFiles(p *proc.Process) (n, limit int) {
	dir, err := p.OpenFile("fd", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return 0, 0
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	limits, err := p.Rlimits()
	if err != nil {
		return len(names), 0
	}
	for _, l := range limits {
		if l.Type == "RLIMIT_NOFILE" && l.Soft < math.MaxInt32 {
			limit = int(l.Soft)
		}
	}
	return len(names), limit
}

// unitOf is the systemd unit of a process, by its cgroup.
func unitOf(p *proc.Process) string {
	cgroups, err := p.Cgroups()
	if err != nil {
		return ""
	}
	for _, cg := range cgroups {
		if base := path.Base(cg.Path); strings.HasSuffix(base, ".service") {
			return base
		}
	}
	return ""
}
