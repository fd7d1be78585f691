package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"

	"dx/cmd/dx/output"
	"dx/dockerx"
	"dx/dockerx/docker"
	"dx/nsops/escape"
	"dx/nsops/posture"
)

// stateRecord is docker inspect's .State: for a container that runs, as the kernel has it.
type stateRecord struct {
	Status                                       string
	Running, Paused, Restarting, OOMKilled, Dead bool
	Pid, ExitCode                                int
	StartedAt, FinishedAt                        string // RFC 3339; empty: not known
}

// logRecord is a line of the container's log.
type logRecord struct {
	Time   time.Time
	Stream string
	Text   string
}

// dockerFields are the most used paths of docker inspect, for templates.
type dockerFields struct {
	Id      string   `json:"-"` //nolint:staticcheck // docker's name
	Created string   `json:"-"`
	Path    string   `json:"-"`
	Args    []string `json:"-"`

	Config          any `json:"-"`
	HostConfig      any `json:"-"`
	NetworkSettings any `json:"-"`
}

// networkSettings has docker's IPAddress beside the networks: the bridge's.
type networkSettings struct {
	IPAddress string
	Networks  map[string]*docker.Endpoint
	Ports     docker.Ports
}

// recorded fills in what Docker says.
func (r *inspectRecord) recorded(s *postureSubject, env bool) {
	for _, l := range s.log {
		r.Log = append(r.Log, logRecord(l))
	}
	d := s.docker
	if d == nil {
		if s.pid != 0 {
			r.State = &stateRecord{Status: "running", Running: true, Paused: s.paused, Pid: s.pid}
		}
		return
	}
	r.Command = append([]string{d.Path}, d.Args...)
	r.Env = maskedEnv(d.Config.Env, env)
	r.Ports, r.RestartCount, r.State = portsText(d.NetworkSettings.Ports), d.RestartCount, stateOf(s)
	n := networkSettings{Networks: d.NetworkSettings.Networks, Ports: d.NetworkSettings.Ports}
	if bridge := n.Networks["bridge"]; bridge != nil {
		n.IPAddress = bridge.IPAddress
	}
	r.dockerFields = dockerFields{
		Id: d.ID, Created: d.Created, Path: d.Path, Args: d.Args,
		Config: d.Config, NetworkSettings: n,
	}
	if d.HostConfigOrigin != "" { // else it was not read
		r.HostConfig = d.HostConfig
	}
}

// stateOf is Docker's word, but that the kernel's goes before it.
func stateOf(s *postureSubject) *stateRecord {
	d := s.docker.State
	r := &stateRecord{
		Running: s.pid != 0, Paused: s.paused, Restarting: d.Restarting, OOMKilled: d.OOMKilled, Dead: d.Dead,
		Pid: s.pid, ExitCode: d.ExitCode,
		StartedAt: d.StartedAt.Format(time.RFC3339Nano), FinishedAt: d.FinishedAt.Format(time.RFC3339Nano),
	}
	switch {
	case s.paused:
		r.Status = "paused"
	case d.Restarting:
		r.Status = "restarting"
	case s.pid != 0:
		r.Status = "running"
	case d.RemovalInProgress:
		r.Status = "removing"
	case d.Dead:
		r.Status = "dead"
	case d.StartedAt.IsZero():
		r.Status = "created"
	default:
		r.Status = "exited"
	}
	return r
}

// maskedEnv has the names, and the values if they were asked for.
func maskedEnv(env []string, values bool) []string {
	var out []string
	for _, e := range env {
		name, _, set := strings.Cut(e, "=")
		if set && !values {
			e = name + "=***"
		}
		out = append(out, e)
	}
	return out
}

// stoppedSubject is a container that does not run: what is recorded of it.
func stoppedSubject(ref string, e *dockerx.StateError) *postureSubject {
	s := &postureSubject{
		ref: ref, id: e.ID, name: e.Docker.Name, image: e.Docker.Config.Image, engine: e.Engine,
		source: dockerx.SourceHost, posture: &posture.Posture{}, docker: e.Docker,
	}
	if e.Engine != "" {
		s.source = dockerx.SourceEngine
	}
	return s
}

// recorded shows what was asked for when the container was made, and how it ended.
func (v *inspectView) recorded() {
	if v.s.docker == nil {
		return
	}
	var rows [][2]string
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, [2]string{name, value})
		}
	}
	if v.s.pid == 0 {
		for _, row := range ended(v.r.State, v.s.docker.State.FinishedAt) {
			add(row[0], row[1])
		}
	}
	words := make([]string, 0, len(v.r.Command))
	for _, w := range v.r.Command {
		words = append(words, escape.Shell(w))
	}
	add("command", strings.Join(words, " "))
	for i, line := range output.Wrap(v.r.Env, cardWidth) {
		name := "environment"
		if i > 0 {
			name = " "
		}
		add(name, line)
	}
	add("published ports", v.r.Ports)
	if v.r.RestartCount > 0 {
		add("restarts", fmt.Sprint(v.r.RestartCount))
	}
	t := output.Table{Header: []string{"CONFIGURED", "DOCKER"}}
	if v.s.pid == 0 {
		t.Header[0] = "NOT RUNNING"
	}
	for _, row := range rows {
		t.Rows = append(t.Rows, output.Row("  "+row[0], row[1]))
	}
	if len(rows) > 0 {
		v.Blank()
		v.Table(t)
	}
}

// log shows what the container wrote last.
func (v *inspectView) log() {
	t := output.Table{Header: []string{"LOG", "STREAM", ""}}
	for _, l := range v.r.Log {
		t.Rows = append(t.Rows, output.Row("  "+l.Time.Local().Format(time.DateTime), l.Stream, v.cut(l.Text)))
	}
	if len(t.Rows) > 0 {
		v.Blank()
		v.Table(t)
	}
}

// ended is how and when it ended, in words.
func ended(s *stateRecord, at time.Time) [][2]string {
	rows := [][2]string{{"state", s.Status}}
	if s.Status == "created" {
		return rows
	}
	code := fmt.Sprint(s.ExitCode)
	if s.ExitCode > 128 && s.ExitCode <= 128+64 {
		code += fmt.Sprintf(" (signal %d, or the command's own)", s.ExitCode-128)
	}
	rows = append(rows, [2]string{"exit code", code})
	if !at.IsZero() {
		rows = append(rows, [2]string{"ended", fmt.Sprintf("%s ago, at %s", units.HumanDuration(time.Since(at)), at.Format(time.RFC3339))})
	}
	if s.OOMKilled {
		rows = append(rows, [2]string{"out of memory", "the kernel killed a process of it"})
	}
	return rows
}
