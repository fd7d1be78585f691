package host

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"dx/dockerx/plain"
)

// State is the part of the runtime's own state of a container that dx uses:
// runc's <root>/<id>/state.json (libcontainer.State), or crun's <root>/<id>/status.
type State struct {
	ID        string
	InitPID   int    // in the runtime's PID namespace
	InitStart uint64 // clock ticks since boot; 0: unknown

	// CgroupPaths are directories as the runtime sees them, by controller; the
	// key "" is the v2 hierarchy. Empty for crun.
	CgroupPaths map[string]string

	Umask        *uint32
	NoNewKeyring bool
	OOMScoreAdj  *int

	// Crun reports whether it is crun's.
	Crun bool

	// SpecVersion is the runtime-spec version that the runtime was built with:
	// it tells runc's generation ("1.0.2-dev": 1.1, "1.2.0": 1.2, "1.2.1": 1.3).
	SpecVersion string

	// Bundle is the directory of config.json, as the runtime sees it; empty: not told.
	Bundle string

	// What an older runtime ignores in the bundle is absent here.
	Personality, Scheduler, IOPriority, MemoryPolicy bool
}

type runcState struct {
	ID          string            `json:"id"`
	InitPID     int               `json:"init_process_pid"`
	InitStart   uint64            `json:"init_process_start"`
	CgroupPaths map[string]string `json:"cgroup_paths"`
	Config      struct {
		Umask        *uint32  `json:"umask"`
		NoNewKeyring bool     `json:"no_new_keyring"`
		OOMScoreAdj  *int     `json:"oom_score_adj"`
		Version      string   `json:"version"`
		Personality  presence `json:"personality"`
		Scheduler    presence `json:"scheduler"`
		IOPriority   presence `json:"io_priority"`
		MemoryPolicy presence `json:"memory_policy"`
		Labels       []string `json:"labels"` // "bundle=DIR"
	} `json:"config"`
}

// presence is true if the field holds anything but null.
type presence bool

func (p *presence) UnmarshalJSON(b []byte) error {
	*p = string(b) != "null"
	return nil
}

func readState(b []byte) (s runcState, err error) {
	if !plain.Read(b, s.read) {
		s = runcState{}
		err = decode(b, &s)
	}
	return s, err
}

func (s *runcState) read(r *plain.Reader) {
	c := &s.Config
	config := func(r *plain.Reader) {
		r.Object([]plain.Field{
			{Key: "umask", To: plain.Pointer(&c.Umask, plain.Number[uint32])}, {Key: "no_new_keyring", To: &c.NoNewKeyring},
			{Key: "oom_score_adj", To: plain.Pointer(&c.OOMScoreAdj, plain.Number[int])}, {Key: "version", To: &c.Version},
			{Key: "personality", To: &c.Personality}, {Key: "scheduler", To: &c.Scheduler}, {Key: "io_priority", To: &c.IOPriority},
			{Key: "memory_policy", To: &c.MemoryPolicy}, {Key: "labels", To: &c.Labels},
		}...)
	}
	r.Object([]plain.Field{
		{Key: "id", To: &s.ID}, {Key: "init_process_pid", To: &s.InitPID}, {Key: "init_process_start", To: &s.InitStart},
		{Key: "cgroup_paths", To: &s.CgroupPaths}, {Key: "config", To: config},
	}...)
}

// ParseState parses runc's state.json.
func ParseState(b []byte) (*State, error) {
	s, err := readState(b)
	if err != nil {
		return nil, err
	}
	if s.ID == "" || s.InitPID <= 0 {
		return nil, errors.New("no id or init_process_pid")
	}
	return &State{
		ID: s.ID, InitPID: s.InitPID, Bundle: labelled(s.Config.Labels, "bundle"), InitStart: s.InitStart, CgroupPaths: s.CgroupPaths,
		Umask: s.Config.Umask, NoNewKeyring: s.Config.NoNewKeyring, OOMScoreAdj: s.Config.OOMScoreAdj,
		SpecVersion: s.Config.Version,
		Personality: bool(s.Config.Personality), Scheduler: bool(s.Config.Scheduler),
		IOPriority: bool(s.Config.IOPriority), MemoryPolicy: bool(s.Config.MemoryPolicy),
	}, nil
}

// labelled is the value of NAME=VALUE among labels.
func labelled(labels []string, name string) string {
	for _, l := range labels {
		if value, ok := strings.CutPrefix(l, name+"="); ok {
			return value
		}
	}
	return ""
}

// ParseStateHead reads of runc's state.json no more than the identity of the
// init process. libcontainer writes those three fields first; the configuration
// behind them is a hundred times as long.
func ParseStateHead(r io.Reader) (*State, error) {
	d := json.NewDecoder(io.LimitReader(r, maxFile))
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	if t != json.Delim('{') {
		return nil, errors.New("not an object")
	}
	s := &State{}
	for s.ID == "" || s.InitPID == 0 || s.InitStart == 0 {
		if !d.More() {
			return nil, errors.New("no id, init_process_pid or init_process_start")
		}
		if err := s.headField(d); err != nil {
			return nil, err
		}
	}
	if s.InitPID < 0 {
		return nil, fmt.Errorf("init_process_pid %d", s.InitPID)
	}
	return s, nil
}

func (s *State) headField(d *json.Decoder) error {
	key, err := d.Token()
	if err != nil {
		return err
	}
	switch key {
	case "id":
		return d.Decode(&s.ID)
	case "init_process_pid":
		return d.Decode(&s.InitPID)
	case "init_process_start":
		return d.Decode(&s.InitStart)
	}
	var skip json.RawMessage
	return d.Decode(&skip)
}

// ParseCrunStatus parses crun's status file (crun src/libcrun/status.c).
func ParseCrunStatus(b []byte) (*State, error) {
	var s struct {
		PID   int    `json:"pid"`
		Start uint64 `json:"process-start-time"`

		Bundle string `json:"bundle"`
	}
	if err := decode(b, &s); err != nil {
		return nil, err
	}
	if s.PID <= 0 {
		return nil, errors.New("no pid")
	}
	return &State{Crun: true, InitPID: s.PID, InitStart: s.Start, Bundle: s.Bundle}, nil
}

// ParseOptions parses options.json, which containerd's runc shim keeps in the
// bundle, and returns the runtime root: the directory of the runtime's state,
// without the containerd namespace. Empty: the shim's default.
func ParseOptions(b []byte) (root string, err error) {
	var o struct {
		Root string `json:"root"`
	}
	err = decode(b, &o)
	if errors.Is(err, io.EOF) {
		err = nil // written empty where no options were given
	}
	return o.Root, err
}

// ParseInitPID parses the bundle's init.pid.
func ParseInitPID(b []byte) (int, error) {
	if len(b) > 32 {
		return 0, errors.New("too long for a pid")
	}
	pid, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 31)
	if err != nil || pid == 0 {
		return 0, fmt.Errorf("%q is no pid", b)
	}
	return int(pid), nil
}

// decode decodes one JSON value; io.EOF if there is none.
func decode(b []byte, to any) error {
	if len(bytes.TrimSpace(b)) == 0 {
		return io.EOF
	}
	return json.Unmarshal(b, to)
}
