package main

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"

	"dx/cmd/dx/output"
	"dx/dockerx"
)

// psRecord is one line of dx ps --format json: what docker ps has, in its words, and what
// dx knows besides.
type psRecord struct {
	ID        string `header:"CONTAINER ID"`
	Name      string
	Pid       int
	Image     string
	Status    string
	StartedAt time.Time
	Engine    string
	Source    dockerx.Source

	Names        string
	Command      string // in quotes
	CreatedAt    string `header:"CREATED AT"`
	RunningFor   string `header:"CREATED"`
	Ports        string
	State        string
	Labels       string
	Namespace    string `json:",omitempty"` // Kubernetes', as Pod
	Pod          string `json:",omitempty"`
	Networks     string
	Mounts       string
	LocalVolumes string `header:"LOCAL VOLUMES"`
	Size         string `json:"-"`

	list dockerx.Listed
}

func (r psRecord) Quiet() string { return r.ID }

// Label is for templates.
func (r psRecord) Label(name string) string { return r.list.Labels[name] }

// Short cuts what docker cuts.
func (r psRecord) Short() psRecord {
	r.ID = output.ShortID(r.ID)
	r.Image = shortImage(r.Image)
	r.Command = quoted(output.CutTo(r.list.Command, maxCommand))
	r.Mounts = mountNames(r.list, maxMount)
	return r
}

// Docker's measures (docker/cli, cli/command/formatter).
const (
	maxCommand = 20
	maxMount   = 15
)

func psRecords(list []dockerx.Listed) []psRecord {
	out := make([]psRecord, 0, len(list))
	for _, l := range list {
		rec := psRecord{
			ID: l.ID, Name: l.Name, Pid: l.PID, Image: l.Image, Status: l.Status,
			StartedAt: l.StartedAt, Engine: l.Engine, Source: l.Source,
			Names: l.Name, Command: quoted(l.Command), Ports: portsText(l.Ports), State: l.State,
			Namespace: l.Namespace, Pod: l.Pod,
			Labels: labelsText(l.Labels), Mounts: mountNames(l, 0), Size: "-", list: l,
			Networks:     strings.Join(slices.Sorted(maps.Keys(l.Networks)), ","),
			LocalVolumes: strconv.Itoa(localVolumes(l)),
		}
		if !l.Created.IsZero() {
			rec.CreatedAt = time.Unix(l.Created.Unix(), 0).String()
			rec.RunningFor = units.HumanDuration(time.Since(l.Created)) + " ago"
		}
		out = append(out, rec)
	}
	return out
}

func quoted(command string) string {
	if command == "" {
		return ""
	}
	return strconv.Quote(command)
}

// shortImage leaves out a digest, and cuts an ID.
func shortImage(image string) string {
	if id, ok := strings.CutPrefix(image, "sha256:"); ok {
		return output.ShortID(id)
	}
	name, _, _ := strings.Cut(image, "@sha256:")
	return name
}

func labelsText(labels map[string]string) string {
	var out []string
	for k, v := range labels {
		out = append(out, k+"="+v)
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}

// mountNames are the names of volumes and the directories of binds; width 0: uncut.
func mountNames(l dockerx.Listed, width int) string {
	var out []string
	for _, m := range l.Mounts {
		name := m.Name
		if name == "" {
			name = m.Source
		}
		if width > 0 {
			name = output.CutTo(name, width)
		}
		out = append(out, name)
	}
	slices.Sort(out)
	return strings.Join(out, ",")
}

func localVolumes(l dockerx.Listed) int {
	n := 0
	for _, m := range l.Mounts {
		if m.Driver == "local" {
			n++
		}
	}
	return n
}

func psTable(list []psRecord) output.Table {
	t := output.Table{
		Header: []string{"CONTAINER ID", "NAME", "PID", "IMAGE", "COMMAND", "STATUS", "PORTS"},
		Drop:   []string{"NAMESPACE", "POD", "COMMAND", "PORTS", "SOURCE", "IMAGE"},
	}
	for _, r := range list {
		pid := "-"
		if r.Pid != 0 {
			pid = strconv.Itoa(r.Pid)
		}
		cells := output.Row(r.ID, r.Name, pid, r.Image, r.Command, r.Status, r.Ports)
		cells[5].Alert = strings.HasSuffix(r.Status, "(no such process)") || strings.HasSuffix(r.Status, "engine)")
		t.Rows = append(t.Rows, cells)
	}
	t = withSources(withPods(t, list), list)
	return withEngines(t, list, func(r psRecord) string { return r.Engine })
}

// withPods adds the columns POD and NAMESPACE where there are pods, as crictl ps has them.
func withPods(t output.Table, list []psRecord) output.Table {
	if !slices.ContainsFunc(list, func(r psRecord) bool { return r.Pod != "" }) {
		return t
	}
	t.Header = append(t.Header, "POD", "NAMESPACE")
	for i, r := range list {
		t.Rows[i] = append(t.Rows[i], output.Row(cmp.Or(r.Pod, "-"), cmp.Or(r.Namespace, "-"))...)
	}
	return t
}

// withSources adds the column SOURCE where not all is from one.
func withSources(t output.Table, list []psRecord) output.Table {
	if !slices.ContainsFunc(list, func(r psRecord) bool { return r.Source != list[0].Source }) {
		return t
	}
	t.Header = append(t.Header, "SOURCE")
	for i, r := range list {
		t.Rows[i] = append(t.Rows[i], output.Row(string(r.Source))...)
	}
	return t
}
