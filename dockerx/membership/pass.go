package membership

import (
	"errors"
	"io/fs"
	"slices"

	"dx/dockerx/host"
	"dx/nsops"
	"dx/nsops/proc"
)

// facts are what the rules go by.
type facts struct {
	who     identity
	parent  int
	cgroups []proc.Cgroup
	mnt     nsops.ID
	pids    []nsops.ID // its PID namespace and those around it, the nearest first
	hidden  bool
}

// remembered is an answer about the process that had a number.
type remembered struct {
	start  uint64
	answer Answer
}

// Of says whose a process is. One that has ended is nobody's.
func (x *Index) Of(p *proc.Process) (Answer, error) {
	f, err := x.read(p)
	if err != nil {
		return Answer{}, err
	}
	return x.of(f, x.parent), nil
}

// parent reads the facts of a process by its number, which a child has named.
func (x *Index) parent(pid int) (facts, bool) {
	p, err := proc.OpenDir(pid)
	if err != nil {
		return facts{}, false
	}
	defer p.Close()
	f, err := x.read(p)
	return f, err == nil
}

// read reads what the rules go by. What the caller may not see is left out.
func (x *Index) read(p *proc.Process) (facts, error) {
	st, err := p.Stat()
	if err != nil {
		return facts{}, err
	}
	f := facts{who: identity{p.PID, st.StartTime}, parent: st.PPID}
	if f.cgroups, err = p.Cgroups(); err != nil {
		return f, err
	}
	var own nsops.ID
	for t, to := range map[nsops.Type]*nsops.ID{nsops.Mnt: &f.mnt, nsops.PID: &own} {
		*to, err = nsops.Identify(p, t)
		switch {
		case errors.Is(err, fs.ErrPermission):
			f.hidden = nested(p)
		case err != nil && !errors.Is(err, proc.ErrGone): // a zombie is still in its cgroup
			return f, err
		}
	}
	f.pids = x.lineage.Around(own, p.PID)
	return f, nil
}

// nested goes by NSpid, which anybody may read.
func nested(p *proc.Process) bool {
	st, err := p.Status()
	return err == nil && len(st.NSpid) > 1
}

// decide applies the rules but the last.
func (x *Index) decide(f facts) Answer {
	for i := range x.rules {
		t := &x.rules[i]
		if t.empty() {
			continue
		}
		a := t.decide(f)
		if i == 0 && a.By != ByInit && a.By != ByCgroup {
			if other := x.stranger(f, a); other != "" {
				return Answer{Other: other}
			}
		}
		if len(a.In) > 0 {
			a.PID = slices.Contains(f.pids, x.scopes[a.In[0]].PID)
			a.Cgroup, _ = x.scopes[a.In[0]].InCgroups(f.cgroups)
			a.mnt = f.mnt
			return a
		}
	}
	return Answer{Hidden: f.hidden}
}

// stranger returns the ID of a container that is not among these, for a process in its
// cgroup, or in its mount namespace and no other's.
func (x *Index) stranger(f facts, a Answer) string {
	if id, ok := host.CgroupID(f.cgroups); ok && !x.own[id] && !x.rules[0].ids[id] {
		if a.By != ByMount && !x.home[f.mnt] {
			x.strangers[f.mnt] = id
		}
		return id
	}
	if a.By == ByMount {
		return ""
	}
	return x.strangers[f.mnt]
}

// Settle returns the answer about a process again, by what the index has met since.
func (x *Index) Settle(a Answer) Answer {
	if id := x.strangers[a.mnt]; id != "" && a.By == ByPID {
		return Answer{Other: id}
	}
	return a
}

func (t *table) decide(f facts) Answer {
	if in := t.inits[f.who]; in != nil {
		return Answer{In: in, By: ByInit}
	}
	if in := t.inCgroups(f.cgroups); in != nil {
		return Answer{In: in, By: ByCgroup}
	}
	if in := t.mnt[f.mnt]; in != nil {
		return Answer{In: in, By: ByMount}
	}
	for _, id := range f.pids {
		if in := t.pid[id]; in != nil {
			return Answer{In: in, By: ByPID}
		}
	}
	return Answer{}
}

// of applies the rules to a process, and for the last one to those above it: each once.
// Parents that were read at different times may seem to form a circle; it is cut.
func (x *Index) of(f facts, parent func(pid int) (facts, bool)) Answer {
	first := f.who
	var path []identity
	var above Answer
	for {
		if r, ok := x.known[f.who.pid]; ok && r.start == f.who.start {
			above = r.answer
			break
		}
		a := x.decide(f)
		x.known[f.who.pid] = remembered{f.who.start, a}
		if a.told() {
			above = a
			break
		}
		path = append(path, f.who)
		if r, ok := x.known[f.parent]; ok {
			above = r.answer
			break
		}
		up, ok := parent(f.parent)
		if !ok {
			break
		}
		f = up
	}
	for _, who := range path {
		if len(above.In) > 0 {
			x.known[who.pid] = remembered{who.start, Answer{In: above.In, By: ByDescent}}
		}
	}
	return x.known[first.pid].answer
}
