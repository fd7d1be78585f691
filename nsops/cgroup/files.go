package cgroup

import (
	"math"
	"os"
	"path"
	"strconv"
	"strings"

	"dx/nsops/proc"
)

// The readers of a cgroup's files. One that is missing or reads otherwise than this
// kernel's documentation has it (Documentation/admin-guide/cgroup-v2.rst, and
// cgroup-v1/) answers ok false: it is shown as absent.

// maxFile bounds what is read of one: the longest, memory.stat, has some 2 KiB.
const maxFile = 64 << 10

func (d located) has(name string) bool {
	_, err := os.Stat(path.Join(d.Path, name))
	return err == nil
}

// ReadFile reads one file of a cgroup, without the line's end.
func (d Dir) ReadFile(name string) (string, bool) { return readWord(path.Join(d.Path, name)) }

func readWord(file string) (string, bool) {
	b, err := proc.ReadKernelFile(file, maxFile)
	return strings.TrimSpace(string(b)), err == nil
}

func (d located) number(name string) (uint64, bool) {
	text, ok := d.ReadFile(name)
	n, err := strconv.ParseUint(text, 10, 64)
	return n, ok && err == nil
}

func (d located) optional(name string) *uint64 {
	if n, ok := d.number(name); ok {
		return &n
	}
	return nil
}

func (d located) limit(name string) (proc.Limit, bool) { return readLimit(path.Join(d.Path, name)) }

func (d located) optionalLimit(name string) *proc.Limit {
	if l, ok := d.limit(name); ok {
		return &l
	}
	return nil
}

func readLimit(file string) (proc.Limit, bool) {
	text, ok := readWord(file)
	if !ok {
		return 0, false
	}
	return parseLimit(text)
}

// parseLimit: v1 has the largest multiple of the page size for no limit of memory
// (mm/page_counter.c, PAGE_COUNTER_MAX); a page has 64 KiB at the most.
func parseLimit(text string) (proc.Limit, bool) {
	if text == "max" {
		return proc.Unlimited, true
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err == nil && n >= math.MaxInt64-(64<<10) {
		return proc.Unlimited, true
	}
	return proc.Limit(n), err == nil
}

// outer finds the lowest limit of the cgroups above, up to where the hierarchy is
// mounted. nil if none of them is lower than the cgroup's own.
func (d located) outer(name string, own proc.Limit) *Outer {
	var out *Outer
	for dir := d.Path; dir != d.top && len(dir) > len(d.top); {
		dir = path.Dir(dir)
		if l, ok := readLimit(path.Join(dir, name)); ok && l < own {
			own, out = l, &Outer{Limit: l, Path: dir}
		}
	}
	return out
}

// quota reads v2's "max 100000" or "50000 100000".
func (d located) quota(name string) (quota proc.Limit, period uint64, ok bool) {
	text, ok := d.ReadFile(name)
	first, second, two := strings.Cut(text, " ")
	if !ok || !two {
		return 0, 0, false
	}
	quota, ok = parseLimit(first)
	period, err := strconv.ParseUint(second, 10, 64)
	return quota, period, ok && err == nil
}

// keyed reads lines "KEY NUMBER"; others are skipped.
func (d located) keyed(name string) map[string]uint64 {
	text, _ := d.ReadFile(name)
	return parseKeyed(text)
}

func parseKeyed(text string) map[string]uint64 {
	out := map[string]uint64{}
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			out[key] = n
		}
	}
	return out
}

func (d located) pressure(name string) (Pressure, bool) {
	text, ok := d.ReadFile(name)
	if !ok {
		return Pressure{}, false
	}
	return parsePressure(text)
}

// parsePressure parses "some avg10=0.00 avg60=0.00 avg300=0.00 total=0" and the
// same of "full" (Documentation/accounting/psi.rst).
func parsePressure(text string) (Pressure, bool) {
	var p Pressure
	seen := false
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 5 {
			continue
		}
		to := &p.Some
		if f[0] == "full" {
			to = &p.Full
		}
		seen = to.set(f[1:]) || seen
	}
	return p, seen
}

func (s *Stall) set(fields []string) bool {
	for i, to := range []*float64{&s.Avg10, &s.Avg60, &s.Avg300} {
		_, value, _ := strings.Cut(fields[i], "=")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) {
			return false
		}
		*to = n
	}
	total, ok := strings.CutPrefix(fields[3], "total=")
	n, err := strconv.ParseUint(total, 10, 64)
	s.Total = n
	return ok && err == nil
}
