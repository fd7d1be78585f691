package doctor

import (
	"fmt"
	"path"

	"dx/dockerx/host"
	"dx/nsops/cgroup"
	"dx/nsops/proc"
)

// limitHit is a cgroup at one of its limits.
type limitHit struct {
	pids       bool // else: memory
	text, file string
}

// limitHits returns which limits of its cgroups a process is at.
func limitHits(u *cgroup.Usage) []limitHit {
	var out []limitHit
	if p := u.Pids; p != nil && p.Limit != proc.Unlimited && p.Current >= uint64(p.Limit) {
		out = append(out, limitHit{pids: true, text: fmt.Sprintf("%d of %d processes run", p.Current, p.Limit), file: fileOf(u, "pids", "pids.max", "pids.max")})
	}
	if m := u.Memory; m != nil && m.Limit != proc.Unlimited {
		// As docker stats counts: without the page cache that can be given back at once
		// (docker/cli, calculateMemUsageUnixNoCache).
		used, limit := m.Usage-min(m.Usage, m.Cache), uint64(m.Limit)
		if used >= limit-limit/50 {
			out = append(out, limitHit{text: fmt.Sprintf("%d of %d MiB of memory are used", used>>20, limit>>20), file: fileOf(u, "memory", "memory.limit_in_bytes", "memory.max")})
		}
	}
	return out
}

// fileOf returns the path of a controller's file, by its names on v1 and v2.
func fileOf(u *cgroup.Usage, controller, v1, v2 string) string {
	file := ""
	for _, d := range u.Dirs {
		switch d.Controller {
		case controller:
			return path.Join(d.Path, v1)
		case "":
			file = path.Join(d.Path, v2)
		}
	}
	return file
}

// starving is from which share of time on, in percent, all tasks of a cgroup
// waiting at once counts (kernel, Documentation/accounting/psi.rst: "full").
const starving = 60

// starvation returns what all of a cgroup waits for nearly all the time.
func starvation(u *cgroup.Usage) string {
	for _, what := range []string{"memory", "io"} {
		if share := u.Pressure[what].Full.Avg10; share >= starving {
			return fmt.Sprintf("%s.pressure: all of its cgroup waited %.0f %% of the last 10 s", what, share)
		}
	}
	return ""
}

// usageOf reads the cgroups of a process, or of the container whose ID is given; nothing
// where they cannot be read.
func usageOf(p *proc.Process, id string) *cgroup.Usage {
	u, err := cgroup.Read(p, func(cg proc.Cgroup) string { return host.WholeCgroup(cg, id) })
	if err != nil {
		return &cgroup.Usage{}
	}
	return u
}
