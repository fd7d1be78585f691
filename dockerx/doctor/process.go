package doctor

import (
	"fmt"
	"path"
	"slices"
	"strconv"
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
	state := fmt.Sprintf("/proc/%d/stat: state %c, %s", p.PID, st.State, count(st.NumThreads, "thread"))
	if freezer, ok := frozenBy(p); ok {
		return []Finding{found(r.is(frozen), "%s is frozen", subject).pid(p.PID).path(freezer).evidence(state, freezer)}
	}
	if st.State == 't' {
		return []Finding{found(r.is(traced), "%s is held by a debugger", subject).pid(p.PID).evidence(state, tracer(p))}
	}
	if how := stopEvidence(p, st); how != "" {
		return []Finding{found(r.is(stopped), "%s is stopped", subject).pid(p.PID).evidence(state, how, where(p, ""))}
	}
	var out []Finding
	if stuck := blockedThreads(p); len(stuck) > 0 {
		out = append(out, found(r.is(blocked), "%s of %s in uninterruptible sleep", are(len(stuck), "thread"), subject).pid(p.PID).evidence(stuck...))
	}
	if n, limit := openFiles(p); limit > 0 && n*100 >= limit*95 {
		out = append(out, found(r.is(noFiles), "%s has %d of %d files open", subject, n, limit).pid(p.PID))
	}
	for _, text := range limitHits(p) {
		out = append(out, found(r.is(atLimit), "%s: %s", subject, text.text).pid(p.PID).evidence(text.file))
	}
	if text := starvation(p); text != "" {
		out = append(out, found(r.is(starved), "%s gets nearly nothing done", subject).pid(p.PID).evidence(text))
	}
	return out
}

// stopped says how a process is stopped; empty: it is not. Every thread stops by itself,
// when it next runs: on a busy machine the first one, whose state is the process's, may
// do so long after the others. One that has stopped tells for all, as a stop signal is
// the whole process's (signal(7)); so does one that nobody has taken yet.
func stopEvidence(p *proc.Process, st proc.Stat) string {
	if st.State == 'T' {
		return "state T"
	}
	if tid := threadIn(p, 'T'); tid != "" {
		return "thread " + tid + " is in state T"
	}
	b, _ := p.ReadFile("status")
	if pending := hexField(b, "ShdPnd"); pending&(1<<(unix.SIGSTOP-1)) != 0 {
		return "SIGSTOP is pending"
	}
	return ""
}

// threadIn is a thread in that state; empty: none.
func threadIn(p *proc.Process, state byte) string {
	for _, tid := range threadsOf(p) {
		if st, err := threadStat(p, tid); err == nil && st.State == state {
			return tid
		}
	}
	return ""
}

// hexField reads a mask of /proc/PID/status; 0 where there is none.
func hexField(status []byte, name string) uint64 {
	for line := range strings.Lines(string(status)) {
		if v, ok := strings.CutPrefix(line, name+":"); ok {
			n, _ := strconv.ParseUint(strings.TrimSpace(v), 16, 64)
			return n
		}
	}
	return 0
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
	b, err := p.ReadFile("status")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "TracerPid:"); ok {
			pid, _ := strconv.Atoi(strings.TrimSpace(v))
			return fmt.Sprintf("traced by pid %d (%s)", pid, comm(pid))
		}
	}
	return ""
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

// maxThreads bounds how many threads of one process are looked at.
const maxThreads = 4096

func threadsOf(p *proc.Process) []string {
	dir, err := p.OpenFile("task", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(maxThreads)
	return names
}

func threadStat(p *proc.Process, tid string) (proc.Stat, error) {
	b, err := p.ReadFile("task/" + tid + "/stat")
	if err != nil {
		return proc.Stat{}, err
	}
	return proc.ParseStat(b)
}

// sleepers are the threads in state D, with how often each has been switched out.
func sleepers(p *proc.Process) map[string]string {
	out := map[string]string{}
	for _, tid := range threadsOf(p) {
		if st, err := threadStat(p, tid); err == nil && st.State == 'D' {
			status, _ := p.ReadFile("task/" + tid + "/status")
			_, switches, _ := strings.Cut(string(status), "voluntary_ctxt_switches:")
			out[tid] = switches
		}
	}
	return out
}

// openFiles counts descriptors, and what may be open at most.
func openFiles(p *proc.Process) (n, limit int) {
	dir, err := p.OpenFile("fd", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return 0, 0
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	b, err := p.ReadFile("limits")
	if err != nil {
		return len(names), 0
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "Max open files"); ok {
			if f := strings.Fields(v); len(f) > 0 {
				limit, _ = strconv.Atoi(f[0]) // 0: unlimited
			}
		}
	}
	return len(names), limit
}

// frozenBy returns the file of a cgroup that keeps a process frozen.
func frozenBy(p *proc.Process) (string, bool) {
	dirs, err := cgroup.Dirs(p)
	if err != nil {
		return "", false
	}
	frozen, file, _ := cgroup.Freezer(dirs)
	return file, frozen
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
