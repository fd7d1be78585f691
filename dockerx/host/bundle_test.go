package host

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"dx/nsops/proc"
)

// standIn is a shim made of a shell, which is called as shims are: its working directory is a bundle and it has
// two children, the container's init and one as docker exec would start it. No
// privilege is needed.
type standIn struct {
	root       string // stands for /run, the data root and all else
	bundle     string
	init, exec *proc.Process
}

func newStandIn(t *testing.T, script ...string) *standIn {
	t.Helper()
	if script == nil {
		script = []string{"sleep 1000 & echo $!; sleep 1000 & echo $!; wait"}
	}
	s := &standIn{root: t.TempDir()}
	s.bundle = s.makeBundle(t, webID)
	cmd := exec.Command(s.shell(t), "-c", script[0])
	cmd.Dir = s.bundle
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(out)
	s.init, s.exec = child(t, r), child(t, r)
	t.Cleanup(func() {
		for _, pid := range []int{s.init.PID, s.exec.PID} {
			if p, err := os.FindProcess(pid); err == nil {
				p.Kill()
			}
		}
		cmd.Process.Kill()
		cmd.Wait()
	})
	s.write(t, s.bundle, "init.pid", []byte(strconv.Itoa(s.init.PID)))
	s.writeState(t, webID, s.init)
	return s
}

// shell copies a shell.
func (s *standIn) shell(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(s.root, "containerd-shim-stand-in-v2")
	if err := os.WriteFile(name, b, 0o755); err != nil {
		t.Fatal(err)
	}
	return name
}

func child(t *testing.T, r *bufio.Reader) *proc.Process {
	t.Helper()
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	p, err := proc.Open(pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// makeBundle lays out the files of testdata as containerd and dockerd do, below
// the stand-in's own root.
func (s *standIn) makeBundle(t *testing.T, id string) string {
	t.Helper()
	dir := filepath.Join(s.root, "run", taskDir, "moby", id)
	move := func(name string) []byte {
		return bytes.ReplaceAll(testdata(t, name), []byte("/srv/engine"), []byte(s.root))
	}
	s.write(t, dir, "config.json", bytes.ReplaceAll(move("config.json"), []byte(webID), []byte(id)))
	s.write(t, dir, "options.json", move("options.json"))
	docker := filepath.Join(s.root, "data", "containers", id)
	s.write(t, docker, "config.v2.json", bytes.ReplaceAll(move("config.v2.json"), []byte(webID), []byte(id)))
	s.write(t, docker, "hostconfig.json", move("hostconfig.json"))
	return dir
}

func (s *standIn) write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func (s *standIn) stateDir(id string) string {
	return filepath.Join(s.root, "exec", "runtime-runc", "moby", id)
}

func (s *standIn) writeState(t *testing.T, id string, init *proc.Process) {
	t.Helper()
	data := testdata(t, "state.json")
	for old, new := range map[string]string{
		webID:                              id,
		fmt.Sprintf(`pid":%d`, webPID):     fmt.Sprintf(`pid":%d`, init.PID),
		fmt.Sprintf(`start":%d`, webStart): fmt.Sprintf(`start":%d`, init.StartTime),
	} {
		if !bytes.Contains(data, []byte(old)) {
			t.Fatalf("%s is not in state.json", old)
		}
		data = bytes.ReplaceAll(data, []byte(old), []byte(new))
	}
	s.write(t, s.stateDir(id), "state.json", data)
}

func TestOpenFindsTheBundleOfInit(t *testing.T) {
	s := newStandIn(t)
	b, err := Open(s.init)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if b.ID != webID || b.Namespace != "moby" || b.Path != s.bundle {
		t.Errorf("the bundle is %s of %s in %s, want %s of moby in %s", b.ID, b.Namespace, b.Path, webID, s.bundle)
	}
	state, err := b.State()
	if err != nil || state.InitPID != s.init.PID || state.InitStart != s.init.StartTime {
		t.Errorf("the state is %+v, %v, want pid %d started at %d", state, err, s.init.PID, s.init.StartTime)
	}
	if head, err := b.StateHead(); err != nil || head.InitStart != s.init.StartTime {
		t.Errorf("the head of the state is %+v, %v, want a start at %d", head, err, s.init.StartTime)
	}
	spec, err := b.Spec()
	if err != nil {
		t.Fatal(err)
	}
	d, err := b.Docker(spec)
	if err != nil || d.Name != "web" || len(d.HostConfig.GroupAdd) != 1 {
		t.Errorf("Docker's files say %+v, %v, want web with one more group", d, err)
	}
}

func TestOpenRefusesWhatIsNotInit(t *testing.T) {
	s := newStandIn(t)
	if b, err := Open(s.exec); !errors.Is(err, ErrNoBundle) {
		t.Errorf("%+v, %v, want no bundle for a process that is not the init", b, err)
	}
	self, err := proc.Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	if b, err := Find(self); !errors.Is(err, ErrNoBundle) {
		t.Errorf("%+v, %v, want no bundle for this test", b, err)
	}
}

func TestFindWalksUp(t *testing.T) {
	s := newStandIn(t, "sleep 1000 & echo $!; sh -c 'sleep 1000 & echo $!; wait' & wait")
	s.write(t, s.bundle, "init.pid", []byte(strconv.Itoa(parentOf(t, s.exec))))
	b, err := Find(s.exec)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if b.ID != webID {
		t.Errorf("bundle of %s, want %s", b.ID, webID)
	}
}

func parentOf(t *testing.T, p *proc.Process) int {
	t.Helper()
	st, err := p.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return st.PPID
}

func TestOpenFindsSiblings(t *testing.T) {
	s := newStandIn(t)
	other := strings.Repeat("ab", 32)
	dir := s.makeBundle(t, other)
	s.write(t, dir, "init.pid", []byte(strconv.Itoa(s.exec.PID)))
	s.writeState(t, other, s.exec)
	check := func(when string) {
		b, err := Open(s.exec)
		if err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		defer b.Close()
		if state, err := b.State(); b.ID != other || b.Path != dir || err != nil || state.ID != other {
			t.Errorf("%s: the bundle is %s in %s with %+v, %v, want %s in %s", when, b.ID, b.Path, state, err, other, dir)
		}
	}
	check("beside the shim's own")
	if err := os.RemoveAll(s.bundle); err != nil {
		t.Fatal(err)
	}
	check("the shim's own bundle is removed")
}

func TestStateFallsBackToCrun(t *testing.T) {
	s := newStandIn(t)
	if err := os.Remove(filepath.Join(s.stateDir(webID), "state.json")); err != nil {
		t.Fatal(err)
	}
	s.write(t, s.stateDir(webID), "status", fmt.Appendf(nil, `{"pid": %d, "process-start-time": %d, "cgroup-path": "/x"}`, s.init.PID, s.init.StartTime))
	b, err := Open(s.init)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if state, err := b.State(); err != nil || state.InitPID != s.init.PID || state.InitStart != s.init.StartTime {
		t.Errorf("the state is %+v, %v, want pid %d started at %d", state, err, s.init.PID, s.init.StartTime)
	}
}

func TestBrokenFilesAreNamed(t *testing.T) {
	s := newStandIn(t)
	b, err := Open(s.init)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	spec, err := b.Spec()
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(s.root, "data", "containers", webID, "config.v2.json")
	state := filepath.Join(s.stateDir(webID), "state.json")
	for _, path := range []string{config, state} {
		whole, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, whole[:len(whole)/2], 0o644); err != nil { // half written
			t.Fatal(err)
		}
	}
	if _, err := b.Docker(spec); err == nil || !strings.Contains(err.Error(), config) {
		t.Errorf("%v does not name %s", err, config)
	}
	if _, err := b.State(); err == nil || !strings.Contains(err.Error(), state) {
		t.Errorf("%v does not name %s", err, state)
	}
	if _, err := b.StateHead(); err != nil {
		t.Errorf("the head of a half state.json: %v", err)
	}
	other := bytes.ReplaceAll(testdata(t, "config.v2.json"), []byte(webID), []byte(strings.Repeat("cd", 32)))
	s.write(t, filepath.Dir(config), "config.v2.json", other)
	if d, err := b.Docker(spec); err == nil {
		t.Errorf("configuration of %s taken for that of %s", d.ID, webID)
	}
}
