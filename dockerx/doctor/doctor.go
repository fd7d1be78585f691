// Package doctor finds out where a Docker host is stuck: which of client, socket,
// dockerd, a container's lock, containerd, a shim, runc, the kernel, a disk or a
// mount keeps the others waiting.
//
// Probes ask all of them side by side, each under a deadline, and make findings.
// Diagnose, a pure function, turns findings into a verdict: one sentence, the
// layer, how sure it is, and what to do next in order of safety.
//
// Nothing is changed here but by Dump, which sends a signal, and Unmount. What an engine or a
// container says of itself is evidence to hold against the kernel's word; how
// containers are entered does not belong here.
package doctor

import (
	"fmt"
	"time"
)

// Layer is where something is wrong.
type Layer string

// The layers, from the one who asks to the one who is asked last.
const (
	LayerClient     Layer = "client"
	LayerSocket     Layer = "socket"
	LayerDockerd    Layer = "dockerd"
	LayerLock       Layer = "container lock" // in dockerd
	LayerContainerd Layer = "containerd"
	LayerShim       Layer = "shim"
	LayerRuntime    Layer = "runc"
	LayerContainer  Layer = "container"
	LayerStorage    Layer = "storage"
	LayerMount      Layer = "mount"
	LayerKernel     Layer = "kernel"
	LayerRecords    Layer = "records" // Docker's word against the kernel's
)

// Severity is what a finding means for those who use the engine.
type Severity int

// The severities.
const (
	Note     Severity = iota // worth knowing
	Degraded                 // something does not work, the rest does
	Hung                     // the engine does not work
)

var statuses = [...]string{Note: "healthy", Degraded: "degraded", Hung: "hung"}

// String is the status of a host whose worst finding this is.
func (s Severity) String() string { return statuses[s] }

// MarshalText writes "note", "degraded" or "hung".
func (s Severity) MarshalText() ([]byte, error) {
	if s == Note {
		return []byte("note"), nil
	}
	return []byte(s.String()), nil
}

// UnmarshalText reads what MarshalText writes.
func (s *Severity) UnmarshalText(b []byte) error {
	for _, v := range []Severity{Note, Degraded, Hung} {
		if text, _ := v.MarshalText(); string(text) == string(b) {
			*s = v
			return nil
		}
	}
	return fmt.Errorf("%q is no severity", b)
}

// Finding is one thing that a probe saw.
type Finding struct {
	Kind     Kind
	Layer    Layer
	Severity Severity

	Container string `json:",omitempty"` // its name; empty: not about one container
	ID        string `json:",omitempty"` // of that container
	PID       int    `json:",omitempty"`
	Path      string `json:",omitempty"` // of the socket, mount or directory
	Abort     string `json:"-"`          // file that ends the connection to a FUSE server

	Text     string   // "dockerd (pid 812) is stopped"
	Evidence []string `json:",omitempty"` // what the kernel or the engine said
}

// found makes a finding of a kind that the catalogue has.
func found(kind Kind, format string, args ...any) Finding {
	e := catalogue()[kind]
	return Finding{Kind: kind, Layer: e.layer, Severity: e.severity, Text: fmt.Sprintf(format, args...)}
}

// Unchecked reports whether the finding is that something could not be looked at.
func (f Finding) Unchecked() bool { return f.Kind == unchecked }

func (f Finding) of(c container) Finding {
	f.Container, f.ID = c.Name, c.ID
	return f
}

func (f Finding) pid(pid int) Finding {
	f.PID = pid
	return f
}

func (f Finding) path(path string) Finding {
	f.Path = path
	return f
}

func (f Finding) evidence(lines ...string) Finding {
	for _, l := range lines {
		if l != "" {
			f.Evidence = append(f.Evidence, l)
		}
	}
	return f
}

// Engine is what was found out about the engine itself.
type Engine struct {
	Host        string // unix:///var/run/docker.sock
	Version     string `json:",omitempty"`
	PID         int    `json:",omitempty"` // of dockerd
	Process     string `json:",omitempty"` // what that process is called
	Unit        string `json:",omitempty"` // its systemd unit
	LiveRestore bool   // containers outlive a restart of dockerd
	DataRoot    string `json:",omitempty"`
	ExecRoot    string `json:",omitempty"`

	Containerd     string `json:",omitempty"` // its socket
	ContainerdPID  int    `json:",omitempty"`
	ContainerdUnit string `json:",omitempty"`
	Supervised     bool   // containerd is a child of dockerd

	// Running is how many containers the kernel runs for this engine, or where there is
	// Doubt, how many it says itself.
	Running int
	// Doubt is why the engine is not known to be a dockerd of this host: its records are
	// not held against the kernel then.
	Doubt string `json:",omitempty"`

	root bool // dx runs as root
}

// Step is something to do next.
type Step struct {
	Why     string
	Command string
	Changes bool // it changes something; without: it only looks, or works beside
}

// Verdict is the answer to "where is it stuck?".
type Verdict struct {
	Sentence   string
	Layer      Layer      `json:",omitempty"` // empty: nowhere
	Confidence Confidence // how sure
	Cause      *Finding   `json:",omitempty"`
	Also       []string   `json:",omitempty"` // what else is wrong and does not follow from the cause
	Next       []Step
}

// Confidence is how sure a verdict is.
type Confidence string

// The confidences.
const (
	Certain Confidence = "certain" // the kernel says so
	Likely  Confidence = "likely"  // it explains what was seen
	Guess   Confidence = "guess"   // nothing explains what was seen
)

// Probed says how one probe went.
type Probed struct {
	Name string
	Took time.Duration
	Late bool // it did not end by its deadline and was left alone
}

// Report is the whole result of an examination.
type Report struct {
	Status   string // healthy, degraded, hung
	Verdict  Verdict
	Engine   Engine
	Findings []Finding // the gravest first
	Probes   []Probed
	Dumps    []Dump `json:",omitempty"` // with Dump
	Took     time.Duration
}
