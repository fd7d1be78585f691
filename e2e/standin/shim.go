package standin

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/nsops/proc"
)

// Shim is a shell that is called like containerd's shim and stands in a bundle of
// Docker's, with two children: the container's init, as init.pid says, and one more.
type Shim struct {
	ID          string
	Bundle      string // its directory
	State       string // the runtime's directory of the container
	Files       string // Docker's directory of the container
	Rootfs      string
	Init, Other *proc.Process
	Process     *proc.Process

	Spec specs.Spec // as it is in config.json
}

// NewShim has the shim start its children by these commands, which have to become, or
// be, what is their process.
func NewShim(t testing.TB, id, init, other string) *Shim {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	Must(t, err)
	s := &Shim{
		ID: id, Bundle: root + "/io.containerd.runtime.v2.task/moby/" + id, State: root + "/state/moby/" + id,
		Files: root + "/data/containers/" + id, Rootfs: root + "/rootfs",
	}
	for _, dir := range []string{s.Bundle, s.State, s.Files, s.Rootfs + "/etc"} {
		Must(t, os.MkdirAll(dir, 0o755))
	}
	s.start(t, root, init, other)
	s.Write(t, s.Bundle+"/init.pid", s.Init.PID)
	s.Write(t, s.Bundle+"/options.json", map[string]string{"root": root + "/state"})
	s.writeSpec(t)
	s.Says(t, map[string]any{"id": id, "init_process_pid": s.Init.PID, "init_process_start": s.Init.StartTime})
	s.Write(t, s.Files+"/config.v2.json", map[string]any{
		"ID": id, "Name": "/web", "State": map[string]any{"Running": true, "Pid": s.Init.PID},
	})
	s.Write(t, s.Files+"/hostconfig.json", map[string]any{})
	return s
}

func (s *Shim) start(t testing.TB, root, init, other string) {
	t.Helper()
	shell, err := os.ReadFile("/bin/sh")
	Must(t, err)
	program := root + "/containerd-shim-made-v2"
	Must(t, os.WriteFile(program, shell, 0o755))
	cmd := exec.Command(program, "-c", fmt.Sprintf("%s & echo $!; %s & echo $!; wait; read end", init, other))
	cmd.Dir = s.Bundle
	in, err := cmd.StdinPipe()
	Must(t, err)
	out, err := cmd.StdoutPipe()
	Must(t, err)
	Must(t, cmd.Start())
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait() // it may have been killed
	})
	r := bufio.NewReader(out)
	for _, to := range []**proc.Process{&s.Init, &s.Other} {
		pid := 0
		_, err := fmt.Fscan(r, &pid)
		Must(t, err)
		p := Open(t, pid)
		t.Cleanup(func() { _ = Kill(p) }) // it may have ended
		*to = p
	}
	s.Process = Open(t, cmd.Process.Pid)
}

// writeSpec writes config.json as dockerd makes it, as far as dx reads it.
func (s *Shim) writeSpec(t testing.TB) {
	t.Helper()
	s.Spec = specs.Spec{
		Version: "1.0.2", Root: &specs.Root{Path: s.Rootfs},
		Process: &specs.Process{Args: []string{"sleep"}, Cwd: "/", Env: []string{"PATH=/bin"}, Capabilities: &specs.LinuxCapabilities{}},
		Mounts:  []specs.Mount{{Destination: "/etc/hostname", Type: "bind", Source: s.Files + "/hostname"}},
		Linux:   &specs.Linux{},
	}
	s.Write(t, s.Bundle+"/config.json", s.Spec)
}

// Says writes the runtime's state.
func (s *Shim) Says(t testing.TB, state map[string]any) {
	t.Helper()
	s.Write(t, s.State+"/state.json", state)
}

// Write writes a file: a string as it is, anything else as JSON.
func (s *Shim) Write(t testing.TB, file string, what any) {
	t.Helper()
	b, err := json.Marshal(what)
	if text, ok := what.(string); ok {
		b, err = []byte(text), nil
	}
	Must(t, err)
	Must(t, os.WriteFile(file, b, 0o644))
}
