package proc

import (
	"fmt"
	"strings"
)

// Cgroup is one line of /proc/PID/cgroup (cgroups(7)).
type Cgroup struct {
	Controllers []string // v1: "memory", "name=systemd"…; empty: the v2 hierarchy
	Path        string   // as seen from the reader's cgroup namespace
}

// Cgroups reads /proc/PID/cgroup.
func (p *Process) Cgroups() ([]Cgroup, error) {
	var room page
	b, err := p.readOnce("cgroup", &room)
	if err != nil {
		return nil, err
	}
	cg, err := ParseCgroups(b)
	if err != nil {
		return nil, fmt.Errorf("/proc/%d/cgroup: %w", p.PID, err)
	}
	return cg, nil
}

// ParseCgroups parses the lines "ID:CONTROLLERS:PATH" of /proc/PID/cgroup.
func ParseCgroups(b []byte) ([]Cgroup, error) {
	var out []Cgroup
	for line := range strings.Lines(string(b)) {
		line = strings.TrimSuffix(line, "\n")
		_, rest, ok := strings.Cut(line, ":")
		controllers, path, ok2 := strings.Cut(rest, ":")
		if !ok || !ok2 {
			return nil, fmt.Errorf("malformed line %q", line)
		}
		cg := Cgroup{Path: path}
		if controllers != "" {
			cg.Controllers = strings.Split(controllers, ",")
		}
		out = append(out, cg)
	}
	return out, nil
}
