package host

import (
	"errors"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// machined registers what systemd-nspawn, and whoever else asks it, runs: a file each in
// /run/systemd/machines (systemd src/machine/machine.c, machine_save), whose LEADER is the
// init. A guest that is not registered has no file, and is known by nobody.
type machined struct{}

const machines = "/run/systemd/machines"

func (machined) monitors(string) bool                   { return false }
func (machined) kept(*monitor, stores) (*record, error) { return nil, nil }

func (machined) written(stores) ([]*record, error) {
	dir, err := openOwned(machines)
	// In a user namespace the host's root has no number.
	if errors.Is(err, unix.ENOENT) || errors.Is(err, ErrForeign) && !inFirstUser() {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer dir.close()
	names, err := dir.names()
	var out []*record
	for _, name := range names {
		if strings.HasPrefix(name, "unit:") || !validID("", name) {
			continue // links by unit, files that are being written
		}
		m, err := parse(dir, name, parseMachine)
		if err != nil || m.name != name || m.class != "container" {
			continue
		}
		// The file does not tell when the leader started: its process is held to be the
		// same for as long as its cgroup is the machine's.
		if r := m.record(); r != nil {
			out = append(out, r)
		}
	}
	return out, err
}

func inFirstUser() bool {
	trust, err := NewTrust()
	return err == nil && trust.userns.IsFirstUser()
}

type machine struct {
	name, scope, service, class string
	leader                      int
}

// parseMachine parses NAME=VALUE lines (systemd src/basic/env-file.c).
func parseMachine(b []byte) (m machine, err error) {
	for line := range strings.Lines(string(b)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch value = strings.Trim(value, `"`); key {
		case "NAME":
			m.name = value
		case "SCOPE":
			m.scope = value
		case "SERVICE":
			m.service = value
		case "CLASS":
			m.class = value
		case "LEADER":
			pid, err := strconv.ParseUint(value, 10, 31)
			if err != nil || pid == 0 {
				return m, errors.New("LEADER is no pid")
			}
			m.leader = int(pid)
		}
	}
	if m.leader == 0 {
		return m, errors.New("no LEADER")
	}
	return m, nil
}

func (m machine) record() *record {
	p, err := proc.Open(m.leader)
	if err != nil {
		return nil
	}
	defer p.Close()
	cgroups, err := p.Cgroups()
	if err != nil || !inScope(cgroups, m.scope) {
		return nil
	}
	r := &record{
		id: m.name, name: m.name, pid: p.PID, start: p.StartTime, bundle: handle{fd: none}, runtime: m.service,
		proof: machines + "/" + m.name + ", and it is in that machine's cgroup",
	}
	r.engine = Engine{Manager: "machine"}
	return r
}

// inScope reports whether a process is in a scope or service of systemd's.
func inScope(cgroups []proc.Cgroup, unit string) bool {
	for _, cg := range cgroups {
		for part := range strings.SplitSeq(cg.Path, "/") {
			if part == unit && unit != "" {
				return true
			}
		}
	}
	return false
}
