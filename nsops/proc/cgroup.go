package proc

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
)

// Cgroup is one line of /proc/PID/cgroup (cgroups(7)).
type Cgroup struct {
	Controllers []string // v1: "memory", "name=systemd"…; empty: the v2 hierarchy
	Path        string   // as seen from the reader's cgroup namespace
}

// Cgroups reads /proc/PID/cgroup.
func (p *Process) Cgroups() ([]Cgroup, error) {
	b, err := p.ReadFile("cgroup")
	if err != nil {
		return nil, err
	}
	cg, err := ParseCgroups(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("/proc/%d/cgroup: %w", p.PID, err)
	}
	return cg, nil
}

// ParseCgroups parses the lines "ID:CONTROLLERS:PATH" of /proc/PID/cgroup.
func ParseCgroups(r io.Reader) ([]Cgroup, error) {
	var out []Cgroup
	sc := bufio.NewScanner(io.LimitReader(r, maxFile))
	for sc.Scan() {
		_, rest, ok := strings.Cut(sc.Text(), ":")
		controllers, path, ok2 := strings.Cut(rest, ":")
		if !ok || !ok2 {
			return nil, fmt.Errorf("malformed line %q", sc.Text())
		}
		cg := Cgroup{Path: path}
		if controllers != "" {
			cg.Controllers = strings.Split(controllers, ",")
		}
		out = append(out, cg)
	}
	return out, sc.Err()
}
