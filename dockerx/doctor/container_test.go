package doctor

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dx/dockerx/docker"
	"dx/dockerx/engine"
	"dx/dockerx/host"
	"dx/e2e/await"
	"dx/nsops/cgroup"
	"dx/nsops/proc"
)

// startSleep starts a process that plays a container's init.
func startSleep(t *testing.T) *os.Process {
	t.Helper()
	cmd := exec.Command("sleep", "100000")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process
}

func stateIs(t *testing.T, pid int, state byte) {
	t.Helper()
	await.Until(t, "the process is in state "+string(state), func() bool {
		st, err := proc.StatOf(pid)
		return err == nil && st.State == state
	})
}

// examination is one of which only what it has found is of interest.
func examination(t *testing.T) *Examination {
	t.Helper()
	p, err := New(Options{Host: "unix:///nosuch/docker.sock", Timeout: mute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

func named(name string, pid int) container {
	d := &docker.Container{ID: strings.Repeat("a1", 32), Name: name, Origin: "/data/containers/" + strings.Repeat("a1", 32) + "/config.v2.json"}
	return container{ID: d.ID, Name: name, PID: pid, found: host.FoundIn(d)}
}

func kinds(list []Finding) (out []Kind) {
	for _, f := range list {
		out = append(out, f.Kind)
	}
	return out
}

// TestCheckContainer on processes whose state the kernel tells: nobody has paused them.
func TestCheckContainer(t *testing.T) {
	check := func(pid int) []Finding { return examination(t).checkContainer(named("web", pid))(context.Background()) }
	init := startSleep(t)
	if got := kinds(check(init.Pid)); slices.Contains(got, initRole.is(stopped)) {
		t.Errorf("a process that sleeps: %v", got)
	}
	if err := init.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	stateIs(t, init.Pid, 'T')
	if got := kinds(check(init.Pid)); !slices.Contains(got, initRole.is(stopped)) {
		t.Errorf("a stopped process: %v", got)
	}
	if err := init.Kill(); err != nil {
		t.Fatal(err)
	}
	stateIs(t, init.Pid, 'Z')
	if got := kinds(check(init.Pid)); !slices.Contains(got, initZombie) {
		t.Errorf("a zombie: %v", got)
	}
}

// TestTracedProcess: one that a tracer holds, and one that it lets go on.
func TestTracedProcess(t *testing.T) {
	child := startSleep(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.PtraceAttach(child.Pid); err != nil {
		t.Skipf("no process can be traced here: %v", err)
	}
	defer unix.PtraceDetach(child.Pid)
	if _, err := unix.Wait4(child.Pid, nil, unix.WALL, nil); err != nil {
		t.Fatal(err)
	}
	pr, err := proc.Open(child.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer pr.Close()
	got := checkProcess(pr, shimRole, "the shim of web")
	if len(got) != 1 || got[0].Kind != shimRole.is(traced) || !strings.Contains(got[0].Evidence[1], "traced by pid ") {
		t.Errorf("%+v, want a traced shim", got)
	}
}

func TestPausedIsANote(t *testing.T) {
	c := named("web", 1)
	for state, want := range map[string]Kind{"paused": info, "running": containerFrozen} {
		p := &Examination{listed: []engine.Summary{{ID: c.ID, State: state}}}
		if f := p.frozenFinding(c, "/f"); f.Kind != want {
			t.Errorf("Docker says %s: %s, want %s", state, f.Kind, want)
		}
	}
	p := &Examination{}
	c.found.Docker().State.Paused = true
	if f := p.frozenFinding(c, "/f"); f.Kind != info {
		t.Errorf("Docker's file says paused: %s", f.Kind)
	}
}

func TestUseFindings(t *testing.T) {
	kills := uint64(2)
	dirs := []cgroup.Dir{{Controller: "", Path: "/v2"}, {Controller: "pids", Path: "/pids/web"}}
	for name, test := range map[string]struct {
		use  cgroup.Usage
		want []Kind
		file string
	}{
		"nothing is known":  {cgroup.Usage{}, nil, ""},
		"no limits":         {cgroup.Usage{Pids: &cgroup.Pids{Limit: proc.Unlimited, Current: 9}, Memory: &cgroup.Memory{Limit: proc.Unlimited, Usage: 9}}, nil, ""},
		"pids":              {cgroup.Usage{Dirs: dirs, Pids: &cgroup.Pids{Limit: 9, Current: 9}}, []Kind{pidsLimit}, "/pids/web/pids.max"},
		"pids below":        {cgroup.Usage{Pids: &cgroup.Pids{Limit: 9, Current: 8}}, nil, ""},
		"memory":            {cgroup.Usage{Dirs: dirs, Memory: &cgroup.Memory{Limit: 100 << 20, Usage: 99 << 20}}, []Kind{memoryLimit}, "/v2/memory.max"},
		"memory, but cache": {cgroup.Usage{Memory: &cgroup.Memory{Limit: 100 << 20, Usage: 99 << 20, Cache: 90 << 20}}, nil, ""},
		"killed for memory": {cgroup.Usage{Dirs: dirs, Memory: &cgroup.Memory{Limit: 100 << 20, OOMKills: &kills}}, []Kind{oomKilled}, ""},
	} {
		got := useFindings(named("web", 1), &test.use)
		if !slices.Equal(kinds(got), test.want) || test.file != "" && got[0].Path != test.file {
			t.Errorf("%s: %+v, want %v, %s", name, got, test.want, test.file)
		}
	}
	stalled := &cgroup.Usage{Pressure: map[string]cgroup.Pressure{"io": {Full: cgroup.Stall{Avg10: 75}}}}
	if text := starvation(stalled); !strings.Contains(text, "io.pressure") || starvation(&cgroup.Usage{}) != "" {
		t.Errorf("stalled: %q", text)
	}
}

func TestDiskFindings(t *testing.T) {
	for want, st := range map[Kind]unix.Statfs_t{
		"":              {Blocks: 1000, Bavail: 500, Files: 100, Ffree: 50, Bsize: 4096},
		storageFull:     {Blocks: 1000, Bavail: 5, Bsize: 4096},
		storageReadOnly: {Blocks: 1000, Bavail: 500, Flags: unix.ST_RDONLY},
	} {
		got := diskFindings(st, "/data")
		if len(got) > 1 || want == "" && len(got) > 0 || want != "" && (len(got) == 0 || got[0].Kind != want) {
			t.Errorf("%+v: %+v, want %q", st, got, want)
		}
	}
	if got := diskFindings(unix.Statfs_t{Files: 100, Ffree: 0}, "/data"); len(got) != 1 || !strings.Contains(got[0].Text, "inodes") {
		t.Errorf("no inodes: %+v", got)
	}
}

// shimAt is a shim, played by this process, whose socket is served by f.
func shimAt(t *testing.T, f func(net.Conn)) container {
	t.Helper()
	self, err := proc.Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { self.Close() })
	c := named("web", 1)
	c.shim = &host.Shim{Bundle: &host.Bundle{ID: c.ID, Shim: self}, Address: listenAt(t, f)}
	return c
}

func TestAskShim(t *testing.T) {
	answer := func(c net.Conn) {
		b := binary.BigEndian.AppendUint32(nil, 0)
		_, _ = c.Write(append(binary.BigEndian.AppendUint32(b, 1), ttrpcResponse, 0))
		_, _ = io.Copy(io.Discard, c)
	}
	for name, test := range map[string]struct {
		serve func(net.Conn)
		want  []Kind
	}{
		"it answers":   {answer, nil},
		"it is silent": {func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }, []Kind{shimSilent}},
		"no ttrpc":     {func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 400 \r\n\r\n") }, []Kind{shimSilent}},
	} {
		p := examination(t)
		p.o.Timeout = 200 * time.Millisecond
		if got := kinds(p.askShim(shimAt(t, test.serve))(context.Background())); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v, want %v", name, got, test.want)
		}
	}
	c := shimAt(t, answer)
	if err := os.Remove(c.shim.Address); err != nil {
		t.Fatal(err)
	}
	if got := kinds(examination(t).askShim(c)(context.Background())); !slices.Equal(got, []Kind{shimRefuses}) {
		t.Errorf("no socket: %v", got)
	}
	c.shim.Address = ""
	if got := kinds(examination(t).askShim(c)(context.Background())); !slices.Equal(got, []Kind{info}) {
		t.Errorf("no address: %v", got)
	}
	if got := examination(t).checkShim(c)(context.Background()); slices.Contains(kinds(got), shimRole.is(stopped)) {
		t.Errorf("this process is stopped: %+v", got)
	}
}

// TestOurs: whose a container is, by what is known of the engine.
func TestOurs(t *testing.T) {
	self, err := proc.Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	c := named("web", 1)
	for name, test := range map[string]struct {
		p    *Examination
		want bool
	}{
		"its data root":             {&Examination{dockerd: self, engine: Engine{DataRoot: "/data"}}, true},
		"another data root":         {&Examination{dockerd: self, engine: Engine{DataRoot: "/var/lib/docker"}}, false},
		"an engine elsewhere":       {&Examination{engine: Engine{Doubt: "x", DataRoot: "/data"}}, false},
		"no engine, nobody's":       {&Examination{}, true},
		"no engine, and another's":  {&Examination{others: []settings{{dataRoot: "/data"}}}, false},
		"no engine, a third's root": {&Examination{others: []settings{{dataRoot: "/other", execRoot: "/x"}}}, true},
	} {
		test.p.kernel = []container{c}
		if got := test.p.ours(c); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	bare := container{found: &host.Found{Namespace: "moby", Bundle: "/run/docker/x/b1"}}
	sibling := c
	sibling.found.Bundle = "/run/docker/x/a1"
	p := &Examination{dockerd: self, engine: Engine{DataRoot: "/data"}, kernel: []container{sibling, bare}}
	if !p.ours(bare) {
		t.Error("a bundle beside ours is not ours")
	}
	p = &Examination{kernel: []container{c}}
	if got := p.orphanedRoot(); got != "/data" {
		t.Errorf("the data root of an engine that is gone is %q", got)
	}
}

func TestOwnerOf(t *testing.T) {
	owner := (&Examination{}).owners()
	o := owner(os.Getpid())
	if want := filepath.Base(comm(os.Getppid())); !o.Alive || o.Name != comm(os.Getpid()) || o.Parent != want || o.Started.IsZero() {
		t.Errorf("%+v, want this process, and its parent %q", o, want)
	}
	if o := owner(1 << 22); o.Alive || o.Err != nil {
		t.Errorf("nobody is %+v", o)
	}
}

func TestUnmountRefuses(t *testing.T) {
	self, err := proc.Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	for path, want := range map[string]string{"/no/such/mount": "no mount is at", "/proc": ErrNoServer.Error()} {
		if _, err := Unmount(t.Context(), self, path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
}

// TestAskMounts: a file system that answers is nothing to report.
func TestAskMounts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("asking beneath another root takes root")
	}
	root, err := os.OpenFile("/", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	pl := place{mount: "/proc", fsType: "fuse", root: root}
	if got := ask(t.Context(), []place{pl}, []place{pl, pl}); len(got) > 0 {
		t.Errorf("%+v", got)
	}
	if err := pl.errno(); err != nil {
		t.Error(err)
	}
	f := place{c: named("web", 1), mount: "/m", fsType: "fuse", source: "s"}.finding(mountSilent, "does not answer")
	if f.Text != "the fuse mount at /m in web does not answer" || f.Path != "/m" {
		t.Errorf("%+v", f)
	}
}

func TestDigest(t *testing.T) {
	r := Report{Status: "degraded", Findings: []Finding{found(storageFull, "full at %d", 1), found(info, "x")}}
	s := Report{Status: "degraded", Findings: []Finding{found(storageFull, "full at %d", 2)}}
	if r.Digest() != s.Digest() || r.Digest() == (&Report{}).Digest() {
		t.Errorf("%q, %q", r.Digest(), s.Digest())
	}
	if got := fileName("a/b\x1bc.d"); got != "a_b_c.d" {
		t.Errorf("a name in an archive: %q", got)
	}
}
