package cgroup

import (
	"fmt"
	"slices"

	"dx/nsops/proc"
)

// Usage is what the cgroups of a process allow and what is used of it. A controller
// that is not there (not mounted, not enabled for this cgroup) is nil.
type Usage struct {
	Version int   // 1 or 2: which hierarchy has the memory, pids and cpu controllers
	Dirs    []Dir // what was read, all hierarchies
	Parts   []Dir `json:",omitempty"` // where the process is, if it is in a part of one of these
	Memory  *Memory
	Pids    *Pids
	CPU     *CPU
	// Frozen is set where a freezer tells.
	Frozen *bool
	// Pressure is v2's, by resource: cpu, memory, io. Kernels without PSI have none.
	Pressure map[string]Pressure `json:",omitempty"`
}

// Memory is in bytes.
type Memory struct {
	Limit       proc.Limit
	Usage       uint64
	Peak        *uint64     `json:",omitempty"` // v2: kernels from 5.19
	High        *proc.Limit `json:",omitempty"` // v2: where throttling begins
	SwapLimit   *proc.Limit `json:",omitempty"` // v1: of memory and swap together; nil: not accounted
	SwapUsage   *uint64     `json:",omitempty"` // v1: of memory and swap together
	Reservation uint64      // v1: soft limit; v2: memory.low; 0: none
	OOMKills    *uint64     `json:",omitempty"`
	// Cache is page cache that can be given back at once; it is part of Usage.
	Cache uint64 `json:"-"`
	// Outer is the lowest limit of the cgroups above, where that is lower.
	Outer *Outer `json:",omitempty"`
}

// Pids counts tasks: threads, not processes.
type Pids struct {
	Limit   proc.Limit
	Current uint64
	Outer   *Outer `json:",omitempty"`
}

// Outer is a limit that a cgroup above sets.
type Outer struct {
	Limit proc.Limit
	Path  string
}

// CPU is bandwidth and use; times are in microseconds.
type CPU struct {
	Quota         proc.Limit // a period; unlimited: none
	Period        uint64
	Shares        *uint64 `json:",omitempty"` // v1
	Weight        *uint64 `json:",omitempty"` // v2
	Cpuset        string  // as the cgroup sets it; empty: as the one above
	Mems          string
	Usage         uint64
	Periods       uint64 // with a quota
	Throttled     uint64 // periods that were
	ThrottledTime uint64
}

// Pressure is PSI: the share of time in which some or all tasks were stalled.
type Pressure struct{ Some, Full Stall }

// Stall has averages in per cent, and the total in microseconds.
type Stall struct {
	Avg10, Avg60, Avg300 float64
	Total                uint64
}

// Read reads the cgroups in which a process is now; or, where whole says so, the one above
// which is meant: a container may divide its own, and its init is then in a part of it
// (systemd's in init.scope). whole may be nil. Values vanish with their cgroup: that is no
// error, as long as the process is there.
func Read(p *proc.Process, whole func(proc.Cgroup) string) (*Usage, error) {
	cgroups, err := p.Cgroups()
	if err != nil {
		return nil, err
	}
	var parts []proc.Cgroup
	meant := slices.Clone(cgroups)
	for i, cg := range cgroups {
		if whole == nil {
			break
		}
		if meant[i].Path = whole(cg); meant[i].Path != cg.Path {
			parts = append(parts, cg)
		}
	}
	dirs, err := locateHere(meant)
	if err != nil {
		return nil, err
	}
	if len(dirs) == 0 {
		return nil, fmt.Errorf("none of the cgroups in /proc/%d/cgroup is mounted here", p.PID)
	}
	u := read(dirs)
	u.Parts, err = DirsOf(parts)
	return u, err
}

func read(dirs []located) *Usage {
	u := &Usage{Version: 2}
	for _, d := range dirs {
		if slices.Contains([]string{"memory", "pids", "cpu"}, d.Controller) {
			u.Version = 1
		}
		u.Dirs = append(u.Dirs, d.Dir)
		switch d.Controller {
		case "":
			u.readV2(d)
		case "memory":
			u.Memory = memoryV1(d)
		case "pids":
			u.Pids = pids(d)
		case "cpu", "cpuacct", "cpuset":
			u.cpuV1(d)
		}
	}
	if frozen, _, ok := Freezer(u.Dirs); ok {
		u.Frozen = &frozen
	}
	return u
}

// readV2 reads what the v2 hierarchy has. On a hybrid host it has no controllers.
func (u *Usage) readV2(d located) {
	for _, name := range []string{"cpu", "memory", "io"} {
		if p, ok := d.pressure(name + ".pressure"); ok {
			if u.Pressure == nil {
				u.Pressure = map[string]Pressure{}
			}
			u.Pressure[name] = p
		}
	}
	if !d.has("cgroup.controllers") {
		return
	}
	if m := memoryV2(d); m != nil {
		u.Memory = m
	}
	if p := pids(d); p != nil {
		u.Pids = p
	}
	if c := cpuV2(d); c != nil {
		u.CPU = c
	}
}

func memoryV1(d located) *Memory {
	limit, ok := d.limit("memory.limit_in_bytes")
	if !ok {
		return nil
	}
	m := &Memory{Limit: limit, Outer: d.outer("memory.limit_in_bytes", limit)}
	m.Usage, _ = d.number("memory.usage_in_bytes")
	m.Cache = d.keyed("memory.stat")["total_inactive_file"]
	m.Peak = d.optional("memory.max_usage_in_bytes")
	m.SwapLimit = d.optionalLimit("memory.memsw.limit_in_bytes")
	m.SwapUsage = d.optional("memory.memsw.usage_in_bytes")
	if soft, ok := d.limit("memory.soft_limit_in_bytes"); ok && soft != proc.Unlimited {
		m.Reservation = uint64(soft)
	}
	if kills, ok := d.keyed("memory.oom_control")["oom_kill"]; ok {
		m.OOMKills = &kills
	}
	return m
}

// memoryV2 is nil in the root cgroup too: it has no limits.
func memoryV2(d located) *Memory {
	limit, ok := d.limit("memory.max")
	if !ok {
		return nil
	}
	m := &Memory{Limit: limit, Outer: d.outer("memory.max", limit)}
	m.Usage, _ = d.number("memory.current")
	m.Cache = d.keyed("memory.stat")["inactive_file"]
	m.Peak = d.optional("memory.peak")
	m.High = d.optionalLimit("memory.high")
	m.SwapLimit = d.optionalLimit("memory.swap.max")
	m.SwapUsage = d.optional("memory.swap.current")
	m.Reservation, _ = d.number("memory.low")
	if kills, ok := d.keyed("memory.events")["oom_kill"]; ok {
		m.OOMKills = &kills
	}
	return m
}

func pids(d located) *Pids {
	limit, ok := d.limit("pids.max")
	if !ok {
		return nil
	}
	p := &Pids{Limit: limit, Outer: d.outer("pids.max", limit)}
	p.Current, _ = d.number("pids.current")
	return p
}

// cpuV1 gathers from three controllers, which may be mounted apart.
func (u *Usage) cpuV1(d located) {
	if u.CPU == nil {
		u.CPU = &CPU{Quota: proc.Unlimited}
	}
	c := u.CPU
	switch d.Controller {
	case "cpu":
		if quota, ok := d.number("cpu.cfs_quota_us"); ok {
			c.Quota = proc.Limit(quota) // -1 is not a number here: none
		}
		c.Period, _ = d.number("cpu.cfs_period_us")
		c.Shares = d.optional("cpu.shares")
		stat := d.keyed("cpu.stat")
		c.Periods, c.Throttled, c.ThrottledTime = stat["nr_periods"], stat["nr_throttled"], stat["throttled_time"]/1000
	case "cpuacct":
		usage, _ := d.number("cpuacct.usage")
		c.Usage = usage / 1000
	case "cpuset":
		c.Cpuset, _ = d.ReadFile("cpuset.cpus")
		c.Mems, _ = d.ReadFile("cpuset.mems")
	}
}

func cpuV2(d located) *CPU {
	quota, period, ok := d.quota("cpu.max")
	if !ok {
		return nil
	}
	stat := d.keyed("cpu.stat")
	c := &CPU{
		Quota: quota, Period: period, Weight: d.optional("cpu.weight"), Usage: stat["usage_usec"],
		Periods: stat["nr_periods"], Throttled: stat["nr_throttled"], ThrottledTime: stat["throttled_usec"],
	}
	c.Cpuset, _ = d.ReadFile("cpuset.cpus")
	c.Mems, _ = d.ReadFile("cpuset.mems")
	return c
}
