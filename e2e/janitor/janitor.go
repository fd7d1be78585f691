// Package janitor owns what one engine of a test run has: a directory, the
// processes started for it, the mounts under it and the cgroups of containers
// whose data lies in it. All of it goes when the engine is closed, while the run
// and its other engines go on.
//
// The owner is a process of its own: the same binary, started again, in a mount
// namespace of its own where the engine needs one. Whatever it starts stays its
// descendant, because it is a child subreaper (prctl(2)): so it needs no process
// names to know what is its own. It holds the reading end of a pipe, and sweeps
// when that closes.
//
// What is left when a whole run is killed goes with its world (dx/e2e/world). What
// an engine is and how one starts does not belong here.
package janitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
)

// Config says where a scope lives.
type Config struct {
	// Dir is the scope's directory; it exists and is removed at the end.
	Dir string
	// PrivateMounts gives the scope a mount namespace of its own.
	PrivateMounts bool
	// Cgroup2 mounts the v2 hierarchy alone on /sys/fs/cgroup. Needs PrivateMounts.
	Cgroup2 bool
	// Binds maps a path to the file that is mounted over it. Needs PrivateMounts.
	Binds map[string]string
}

// Scope is a running janitor.
type Scope struct {
	Config
	PID int // in the scope's mount namespace: nsenter -m -t PID

	process  *os.Process
	commands *os.File
	replies  *os.File
	enc      *json.Encoder
	dec      *json.Decoder
}

// command asks the janitor to start a program.
type command struct {
	Argv []string
	Env  []string
	Log  string // file that stdout and stderr are appended to
}

// reply answers a command, or reports the sweep.
type reply struct {
	PID int
	Err string
}

// Start starts a janitor for the scope.
func Start(c Config) (*Scope, error) {
	spec, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	commandsR, commandsW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer commandsR.Close()
	repliesR, repliesW, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, commandsW.Close())
	}
	defer repliesW.Close()
	s := &Scope{Config: c, commands: commandsW, replies: repliesR}
	s.enc, s.dec = json.NewEncoder(commandsW), json.NewDecoder(repliesR)
	if err := s.launch(spec, commandsR, repliesW); err != nil {
		return nil, errors.Join(err, commandsW.Close(), repliesR.Close())
	}
	// Nobody else holds the janitor's end now: if it dies, the answer is EOF.
	repliesW.Close()
	if r, err := s.answer(); err != nil {
		return nil, errors.Join(fmt.Errorf("set up scope %s: %w", c.Dir, err), s.Close())
	} else {
		s.PID = r.PID
	}
	return s, nil
}

func (s *Scope) launch(spec []byte, commands, replies *os.File) error {
	null, err := os.Open(os.DevNull)
	if err != nil {
		return err
	}
	defer null.Close()
	attr := &os.ProcAttr{
		Env:   append(os.Environ(), envName+"="+string(spec)),
		Files: []*os.File{null, os.Stderr, os.Stderr, commands, replies},
		// A session of its own: ctrl-C in the terminal is not for the janitor.
		Sys: &syscall.SysProcAttr{Setsid: true},
	}
	if s.PrivateMounts {
		// Go makes / recursively private in the new namespace (exec_linux.go).
		attr.Sys.Unshareflags = syscall.CLONE_NEWNS
	}
	s.process, err = os.StartProcess("/proc/self/exe", []string{"dx-e2e-janitor"}, attr)
	if err != nil {
		return fmt.Errorf("start the janitor of %s: %w", s.Dir, err)
	}
	return nil
}

// Spawn starts a program as a child of the janitor, in the scope's mount
// namespace, and returns its PID. Its output is appended to the file log.
func (s *Scope) Spawn(log string, env []string, argv ...string) (int, error) {
	if err := s.enc.Encode(command{Argv: argv, Env: env, Log: log}); err != nil {
		return 0, fmt.Errorf("ask the janitor for %s: %w", argv[0], err)
	}
	r, err := s.answer()
	return r.PID, err
}

// Close sweeps: it returns once everything is gone, or says what is left.
func (s *Scope) Close() error {
	if s.process == nil {
		return nil
	}
	err := s.commands.Close()
	if _, e := s.answer(); e != nil && !errors.Is(e, io.EOF) {
		err = errors.Join(err, fmt.Errorf("sweep %s: %w", s.Dir, e))
	}
	_, e := s.process.Wait()
	s.process = nil
	return errors.Join(err, e, s.replies.Close())
}

func (s *Scope) answer() (reply, error) {
	var r reply
	if err := s.dec.Decode(&r); err != nil {
		return r, fmt.Errorf("answer of the janitor: %w", err)
	}
	if r.Err != "" {
		return r, errors.New(r.Err)
	}
	return r, nil
}
