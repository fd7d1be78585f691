package posture

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"dx/nsops/cgroup"
	"dx/nsops/proc"
)

func (l *lister) cgroup(p *Posture) {
	u := p.Cgroup
	if u == nil {
		return
	}
	c := &cgroupLister{lister: l, u: u}
	l.one(SectionCgroup, "version", strconv.Itoa(u.Version), l.file("cgroup"))
	if u.Memory != nil {
		c.memory(u.Memory)
	}
	if u.Pids != nil {
		c.limit(PidsLimit, "", u.Pids.Limit, u.Pids.Outer, c.at("pids", "pids.max", "pids.max"))
		c.used("pids used", u.Pids.Current, "", c.at("pids", "pids.current", "pids.current"))
	}
	if u.CPU != nil {
		c.cpu(u.CPU)
	}
	if u.Frozen != nil {
		l.one(SectionCgroup, Frozen, yesNo(*u.Frozen), c.at("freezer", "freezer.state", "cgroup.events"))
	}
	for _, name := range slices.Sorted(maps.Keys(u.Pressure)) {
		p := u.Pressure[name]
		value := fmt.Sprintf("%.2f%% some, %.2f%% all of 10 s", p.Some.Avg10, p.Full.Avg10)
		l.one(SectionCgroup, name+" pressure", value, c.at("", "", name+".pressure")).Volatile = true
	}
	c.paths()
}

type cgroupLister struct {
	*lister
	u *cgroup.Usage
}

// at is the path of a file: of a controller's v1 hierarchy, or of v2's.
func (c *cgroupLister) at(controller, v1, v2 string) string {
	name := v1
	if c.u.Version == 2 || controller == "" {
		controller, name = "", v2
	}
	for _, d := range c.u.Dirs {
		if d.Controller == controller {
			return d.Path + "/" + name
		}
	}
	return name
}

func (c *cgroupLister) used(name string, n uint64, unit Unit, origin string) {
	f := c.one(SectionCgroup, name, strconv.FormatUint(n, 10), origin)
	f.Volatile, f.Unit = true, unit
}

// limit is the cgroup's own, and where a cgroup above allows less, that too.
func (c *cgroupLister) limit(name string, unit Unit, l proc.Limit, o *cgroup.Outer, origin string) {
	f := c.one(SectionCgroup, name, l.String(), origin)
	f.Unit = unit
	if o == nil {
		return
	}
	f.Outer = o.Limit.String()
	c.one(SectionCgroup, name+" above", o.Limit.String(), o.Path).Unit = unit
}

func (c *cgroupLister) memory(m *cgroup.Memory) {
	c.limit(MemoryLimit, Bytes, m.Limit, m.Outer, c.at("memory", "memory.limit_in_bytes", "memory.max"))
	c.used("memory used", m.Usage, Bytes, c.at("memory", "memory.usage_in_bytes", "memory.current"))
	if m.Peak != nil {
		c.used("memory peak", *m.Peak, Bytes, c.at("memory", "memory.max_usage_in_bytes", "memory.peak"))
	}
	if m.High != nil {
		c.limit("memory high", Bytes, *m.High, nil, c.at("memory", "", "memory.high"))
	}
	if m.SwapLimit != nil {
		c.limit(SwapLimit, Bytes, *m.SwapLimit, nil, c.at("memory", "memory.memsw.limit_in_bytes", "memory.swap.max"))
	}
	if m.SwapUsage != nil {
		c.used("swap used", *m.SwapUsage, Bytes, c.at("memory", "memory.memsw.usage_in_bytes", "memory.swap.current"))
	}
	c.limit(MemorySoft, Bytes, proc.Limit(m.Reservation), nil, c.at("memory", "memory.soft_limit_in_bytes", "memory.low"))
	if m.OOMKills != nil {
		c.used("oom kills", *m.OOMKills, "", c.at("memory", "memory.oom_control", "memory.events"))
	}
}

func (c *cgroupLister) cpu(u *cgroup.CPU) {
	c.one(SectionCgroup, CPULimit, CPUs(u.Quota, u.Period), c.at("cpu", "cpu.cfs_quota_us", "cpu.max"))
	if u.Shares != nil {
		c.one(SectionCgroup, CPUShares, strconv.FormatUint(*u.Shares, 10), c.at("cpu", "cpu.shares", ""))
	}
	if u.Weight != nil {
		c.one(SectionCgroup, CPUWeight, strconv.FormatUint(*u.Weight, 10), c.at("cpu", "", "cpu.weight"))
	}
	c.one(SectionCgroup, Cpuset, u.Cpuset, c.at("cpuset", "cpuset.cpus", "cpuset.cpus"))
	c.one(SectionCgroup, "cpuset mems", u.Mems, c.at("cpuset", "cpuset.mems", "cpuset.mems"))
	c.used("cpu used", u.Usage, Microseconds, c.at("cpuacct", "cpuacct.usage", "cpu.stat"))
	if u.Quota != proc.Unlimited {
		c.used("periods", u.Periods, "", c.at("cpu", "cpu.stat", "cpu.stat"))
		c.used("periods throttled", u.Throttled, "", c.at("cpu", "cpu.stat", "cpu.stat"))
		c.used("time throttled", u.ThrottledTime, Microseconds, c.at("cpu", "cpu.stat", "cpu.stat"))
	}
}

// CPUs is a quota as a number of processors: "0.5".
func CPUs(quota proc.Limit, period uint64) string {
	if quota == proc.Unlimited || period == 0 {
		return Unlimited
	}
	return strconv.FormatFloat(float64(quota)/float64(period), 'g', 6, 64)
}

// paths tells the cgroup once for all hierarchies in which it has the same name.
func (c *cgroupLister) paths() {
	c.set(SectionCgroup, "paths", pathsOf(c.u.Dirs), c.file("cgroup")).Volatile = true
	if c.u.Parts != nil {
		c.set(SectionCgroup, "init is in", pathsOf(c.u.Parts), c.file("cgroup")).Volatile = true
	}
}

func pathsOf(dirs []cgroup.Dir) []string {
	var out []string
	for _, d := range dirs {
		out = append(out, d.Path)
	}
	return out
}
