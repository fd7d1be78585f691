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

	"dx/dockerx/host"
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
	return append(out, look("runc", p.runtimesLeft))
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
		if freezer, ok := frozenBy(pr); ok {
			return append(out, found(containerFrozen, "%s is frozen", c.Name).of(c).pid(c.PID).path(freezer).evidence(freezer))
		}
		for _, hit := range limitHits(usageOf(pr)) {
			kind := memoryLimit
			if hit.pids {
				kind = pidsLimit
			}
			out = append(out, found(kind, "%s is at its limit: %s", c.Name, hit.text).of(c).pid(c.PID).path(hit.file).evidence(hit.file))
		}
		if len(out) > 0 {
			return out
		}
		if stuck := blockedThreads(pr); len(stuck) > 0 {
			out = append(out, found(initRole.is(blocked), "the init of %s (pid %d) is in uninterruptible sleep", c.Name, c.PID).of(c).pid(c.PID).evidence(stuck...))
		}
		return out
	}
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

// unreaped finds the processes of a container that are dead and whose parent,
// outside, does not reap them: for those init waits. waiter is such a parent, if it
// is not the shim.
func unreaped(c container) (left []string, waiter int) {
	pids, _ := proc.PIDs() // none, where /proc cannot be listed
	for _, pid := range pids {
		if pid == c.PID {
			continue
		}
		dir := "/proc/" + strconv.Itoa(pid)
		b, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue
		}
		st, err := proc.ParseStat(b)
		if err != nil || st.State != 'Z' && st.State != 'D' && st.State != 't' || !inPIDNamespaceOf(dir, c) {
			continue
		}
		left = append(left, fmt.Sprintf("pid %d (%s): state %c, its parent is pid %d (%s)", pid, st.Comm, st.State, st.PPID, comm(st.PPID)))
		if c.shim == nil || st.PPID != c.shim.Shim.PID {
			waiter = st.PPID
		}
	}
	return left, waiter
}

// inPIDNamespaceOf guesses: the namespace links of a zombie lead nowhere, but its
// cgroup and its number in an inner namespace stay.
func inPIDNamespaceOf(dir string, c container) bool {
	b, err := os.ReadFile(dir + "/status")
	if err != nil {
		return false
	}
	st, err := proc.ParseStatus(b)
	if err != nil || len(st.NSpid) < 2 {
		return false
	}
	b, err = os.ReadFile(dir + "/cgroup")
	if err != nil {
		return false
	}
	cgroups, err := proc.ParseCgroups(b)
	if err != nil {
		return false
	}
	id, known := host.CgroupID(cgroups)
	return !known || id == c.ID
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
