package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"dx/nsops/cgroup"
	"dx/nsops/proc"
)

// questions ask each shim, dockerd for each container, and the mounts.
func (p *Examination) questions() []probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []probe
	for _, c := range p.kernel {
		if c.shim != nil {
			out = append(out, question("shim of "+c.Name, p.askShim(c)))
		}
	}
	if p.alive {
		for _, c := range p.inspectable() {
			out = append(out, question("inspect "+c.Name, p.inspect(c)))
		}
	}
	return append(out, question("mounts", p.mounts))
}

// looks are at the processes of each container and of its shim.
func (p *Examination) looks() []probe {
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []probe
	for _, c := range p.kernel {
		out = append(out, look("container "+c.Name, p.checkContainer(c)))
		if c.shim != nil {
			out = append(out, look("process of the shim of "+c.Name, p.checkShim(c)))
		}
	}
	return append(out, look("runc", p.runtimesLeft), look("conmons", p.checkKeepers))
}

// inspectable are the containers of the engine's list, else those of the kernel.
func (p *Examination) inspectable() []container {
	if !p.asked {
		return p.kernel
	}
	var out []container
	for _, s := range p.listed {
		out = append(out, container{ID: s.ID, Name: s.Name})
	}
	return out
}

// settle is how long a state that passes by itself may last: a zombie is one until
// its shim has heard of it.
const settle = 300 * time.Millisecond

func (p *Examination) checkContainer(c container) func(context.Context) []Finding {
	return func(context.Context) []Finding {
		out := initFindings(c)
		if len(out) > 0 {
			time.Sleep(settle)
			out = initFindings(c)
		}
		pr, err := proc.Open(c.PID)
		if err != nil {
			return out
		}
		defer pr.Close()
		if freezer, ok := cgroup.FrozenBy(pr); ok {
			return append(out, p.frozenFinding(c, freezer))
		}
		out = append(out, useFindings(c, usageOf(pr, c.ID))...)
		if len(out) > 0 {
			return out
		}
		return append(out, checkInit(c, pr)...)
	}
}

// checkInit looks for an init that does not run though nobody has paused the container.
func checkInit(c container, pr *proc.Process) []Finding {
	st, err := pr.Stat()
	if err != nil {
		return nil
	}
	subject := fmt.Sprintf("the init of %s (pid %d)", c.Name, c.PID)
	if f, ok := checkStopped(pr, st, initRole, subject); ok {
		return []Finding{f.of(c)}
	}
	if stuck := blockedThreads(pr); len(stuck) > 0 {
		return []Finding{found(initRole.is(blocked), "%s is in uninterruptible sleep", subject).of(c).pid(c.PID).evidence(stuck...)}
	}
	return nil
}

// frozenFinding is a note where a user has paused the container: that is no fault.
func (p *Examination) frozenFinding(c container, freezer string) Finding {
	if p.paused(c) {
		return found(info, "%s is paused, as Docker says, too", c.Name).of(c).pid(c.PID)
	}
	return found(containerFrozen, "%s is frozen", c.Name).of(c).pid(c.PID).path(freezer).evidence(freezer)
}

// paused reports whether Docker knows that a container is paused: by its list, else by
// its file.
func (p *Examination) paused(c container) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.listed {
		if s.ID == c.ID {
			return s.State == "paused"
		}
	}
	d := c.found.Docker()
	return d != nil && d.State.Paused
}

// useFindings are about what a container uses and may use.
func useFindings(c container, u *cgroup.Usage) []Finding {
	var out []Finding
	for _, hit := range limitHits(u) {
		kind := memoryLimit
		if hit.pids {
			kind = pidsLimit
		}
		out = append(out, found(kind, "%s is at its limit: %s", c.Name, hit.text).of(c).pid(c.PID).path(hit.file).evidence(hit.file))
	}
	if m := u.Memory; m != nil && m.OOMKills != nil && *m.OOMKills > 0 {
		out = append(out, found(oomKilled, "%s has lost %s to the kernel's OOM killer since it started", c.Name, processes(*m.OOMKills)).of(c).pid(c.PID).
			evidence(fmt.Sprintf("%s: oom_kill %d", fileOf(u, "memory", "memory.oom_control", "memory.events"), *m.OOMKills)))
	}
	return out
}

func processes(n uint64) string {
	if n == 1 {
		return "1 process"
	}
	return fmt.Sprintf("%d processes", n)
}

// initFindings looks whether init is on its way out. Its files are read by number:
// a zombie has no other handle, and what is found counts only while its shim is
// its parent.
func initFindings(c container) []Finding {
	dir := "/proc/" + strconv.Itoa(c.PID)
	b, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return nil
	}
	st, err := proc.ParseStat(b)
	if err != nil || c.shim != nil && st.PPID != c.shim.Shim.PID {
		return nil
	}
	wchan, _ := os.ReadFile(dir + "/wchan")
	stack, _ := os.ReadFile(dir + "/stack")
	exiting := string(wchan) == "zap_pid_ns_processes" || bytes.Contains(stack, []byte("zap_pid_ns_processes"))
	state := fmt.Sprintf("%s/stat: state %c", dir, st.State)
	switch {
	case exiting:
		left, waiter := unreaped(c)
		return []Finding{found(initExiting, "the init of %s (pid %d) was killed and cannot end", c.Name, c.PID).of(c).pid(waiter).
			evidence(append([]string{state + ", in zap_pid_ns_processes"}, left...)...)}
	case st.Dead():
		return []Finding{found(initZombie, "the init of %s (pid %d) is a zombie", c.Name, c.PID).of(c).pid(c.PID).
			evidence(fmt.Sprintf("%s, its parent is pid %d (%s)", state, st.PPID, comm(st.PPID)))}
	}
	return nil
}

// unreaped finds the processes of a container's PID namespace that are dead and whose
// parent, outside, does not reap them: for those init waits. waiter is such a parent, if
// it is neither the shim nor the host's init.
func unreaped(c container) (left []string, waiter int) {
	ns, err := proc.ReadlinkOf(c.PID, "ns/pid")
	if err != nil {
		return nil, 0
	}
	pids, _ := proc.PIDs() // none, where /proc cannot be listed
	for _, pid := range pids {
		if pid == c.PID || !inPIDNamespace(pid, ns) {
			continue
		}
		st, err := proc.StatOf(pid)
		if err != nil || st.State != 'Z' && st.State != 'D' && st.State != 't' {
			continue
		}
		left = append(left, fmt.Sprintf("pid %d (%s): state %c, its parent is pid %d (%s)", pid, st.Comm, st.State, st.PPID, comm(st.PPID)))
		if st.State == 'Z' && st.PPID > 1 && !inPIDNamespace(st.PPID, ns) && (c.shim == nil || st.PPID != c.shim.Shim.PID) {
			waiter = st.PPID
		}
	}
	return left, waiter
}

// inPIDNamespace reports whether a process is in a PID namespace, named as its link
// reads. Of its links, that one is left to a zombie until it is reaped (kernel
// kernel/pid_namespace.c, pidns_get).
func inPIDNamespace(pid int, ns string) bool {
	own, err := proc.ReadlinkOf(pid, "ns/pid")
	return err == nil && own == ns
}

// old is from which age on a runtime that runs is one that has been left over: it
// sets up a process and ends.
const old = 10 * time.Second

// runtimesLeft looks for runtimes that do not end: children of the shims, and of
// containerd, that are called runc or crun.
func (p *Examination) runtimesLeft(context.Context) []Finding {
	parents := map[int]container{}
	p.mu.Lock()
	for _, c := range p.kernel {
		if c.shim != nil {
			parents[c.shim.Shim.PID] = c
		}
	}
	if p.containerd != nil {
		parents[p.containerd.PID] = container{}
	}
	p.mu.Unlock()
	var out []Finding
	pids, _ := proc.PIDs() // none, where /proc cannot be listed
	for _, pid := range pids {
		if c, age, ok := runtimeOf(pid, parents); ok && age > old {
			f := found(runtimeStuck, "%s (pid %d) has been running for %v", comm(pid), pid, age.Round(time.Second))
			if c.ID != "" {
				f = found(runtimeStuck, "%s (pid %d) has been running for %v for %s", comm(pid), pid, age.Round(time.Second), c.Name)
			}
			out = append(out, f.of(c).pid(pid))
		}
	}
	return out
}

func runtimeOf(pid int, parents map[int]container) (container, time.Duration, bool) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return container{}, 0, false
	}
	st, err := proc.ParseStat(b)
	c, ok := parents[st.PPID]
	if err != nil || !ok || !slices.Contains([]string{"runc", "crun", "runc:[0:PARENT]", "runc:[1:CHILD]", "runc:[2:INIT]"}, st.Comm) && !strings.HasPrefix(st.Comm, "runc:") {
		return container{}, 0, false
	}
	pr, err := proc.Open(pid)
	if err != nil {
		return container{}, 0, false
	}
	defer pr.Close()
	started, err := pr.Started()
	return c, time.Since(started), err == nil && !errors.Is(pr.Alive(), proc.ErrGone)
}
