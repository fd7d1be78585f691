package doctor

import (
	"fmt"
	"os"
	"path"
	"strconv"
	"strings"

	"dx/nsops/cgroup"
	"dx/nsops/proc"
)

// limitHit is a cgroup at one of its limits.
type limitHit struct {
	pids       bool // else: memory
	text, file string
}

// atLimit says which limits of its cgroups a process is at.
func limitHits(p *proc.Process) []limitHit {
	dirs, err := cgroup.Dirs(p)
	if err != nil {
		return nil
	}
	var out []limitHit
	for _, d := range dirs {
		if d.Controller == "pids" || d.Controller == "" {
			if h, ok := pidsHit(d.Path); ok {
				out = append(out, h)
			}
		}
		files := [2]string{"memory.current", "memory.max"}
		if d.Controller == "memory" {
			files = [2]string{"memory.usage_in_bytes", "memory.limit_in_bytes"}
		}
		if d.Controller == "memory" || d.Controller == "" {
			if h, ok := memoryHit(d.Path, files); ok {
				out = append(out, h)
			}
		}
	}
	return out
}

func pidsHit(dir string) (limitHit, bool) {
	file := path.Join(dir, "pids.max")
	n, ok := number(path.Join(dir, "pids.current"))
	limit, okLimit := number(file)
	if !ok || !okLimit || n < limit {
		return limitHit{}, false
	}
	return limitHit{pids: true, text: fmt.Sprintf("%d of %d processes run", n, limit), file: file}, true
}

// memoryHit counts as docker stats does: without the page cache that can be given
// back at once (docker/cli, calculateMemUsageUnixNoCache).
func memoryHit(dir string, files [2]string) (limitHit, bool) {
	file := path.Join(dir, files[1])
	used, ok := number(path.Join(dir, files[0]))
	limit, okLimit := number(file)
	if !ok || !okLimit {
		return limitHit{}, false
	}
	used -= min(used, inactive(path.Join(dir, "memory.stat")))
	if used < limit-limit/50 {
		return limitHit{}, false
	}
	return limitHit{text: fmt.Sprintf("%d of %d MiB of memory are used", used>>20, limit>>20), file: file}, true
}

func inactive(file string) uint64 {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) == 2 && (f[0] == "total_inactive_file" || f[0] == "inactive_file") {
			n, _ := strconv.ParseUint(f[1], 10, 64)
			return n
		}
	}
	return 0
}

// number reads a file of one number. "max" is none.
func number(file string) (uint64, bool) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	return n, err == nil
}

// starving is from which share of time on, in percent, all tasks of a cgroup
// waiting at once counts (kernel, Documentation/accounting/psi.rst: "full").
const starving = 60

// starved says what all of a process's cgroup waits for nearly all the time.
func starvation(p *proc.Process) string {
	dirs, err := cgroup.Dirs(p)
	if err != nil {
		return ""
	}
	for _, d := range dirs {
		if d.Controller != "" {
			continue
		}
		for _, what := range []string{"memory", "io"} {
			b, err := os.ReadFile(path.Join(d.Path, what+".pressure"))
			if share, ok := fullPressure(string(b)); err == nil && ok && share >= starving {
				return fmt.Sprintf("%s.pressure: all of its cgroup waited %.0f %% of the last 10 s", what, share)
			}
		}
	}
	return ""
}

func fullPressure(text string) (float64, bool) {
	_, full, ok := strings.Cut(text, "full avg10=")
	if !ok {
		return 0, false
	}
	value, _, _ := strings.Cut(full, " ")
	share, err := strconv.ParseFloat(value, 64)
	return share, err == nil
}
