package doctor

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dx/e2e/await"
	"dx/e2e/fakeengine"
)

// serveAt makes the test binary an engine at that socket, until its input ends.
const serveAt = "DX_TEST_SERVE_AT"

func TestMain(m *testing.M) {
	if socket, ok := os.LookupEnv(serveAt); ok {
		if err := serveEngine(socket); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// serveEngine is a dockerd in a process of its own.
func serveEngine(socket string) error {
	l, err := net.Listen("unix", socket)
	if err != nil {
		return err
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	dumpOnSignal()
	e := &fakeengine.Engine{}
	if containers := os.Getenv(serveContainers); containers != "" {
		if err := json.Unmarshal([]byte(containers), &e.Containers); err != nil {
			return err
		}
	}
	defer fakeengine.ServeOn(l, e)()
	fmt.Println("ready")
	_, _ = bufio.NewReader(os.Stdin).ReadByte()
	return nil
}

// serveContainers are those of the engine, as JSON.
const serveContainers = "DX_TEST_SERVE_CONTAINERS"

// dumpOnSignal writes goroutines where dockerd does.
func dumpOnSignal() {
	i := slices.Index(os.Args, "--exec-root")
	if i < 0 {
		return
	}
	usr1 := make(chan os.Signal, 1)
	signal.Notify(usr1, syscall.SIGUSR1)
	go func() {
		for range usr1 {
			b := make([]byte, 1<<20)
			_ = os.WriteFile(filepath.Join(os.Args[i+1], "goroutine-stacks-now.log"), b[:runtime.Stack(b, true)], 0o600)
		}
	}()
}

// startDockerd starts an engine whose process is called dockerd, and has those containers.
func startDockerd(t *testing.T, containers ...fakeengine.Container) (socket, execRoot string, dockerd *os.Process) {
	t.Helper()
	dir := t.TempDir()
	program, socket, execRoot := filepath.Join(dir, "dockerd"), filepath.Join(dir, "docker.sock"), filepath.Join(dir, "exec")
	for _, d := range []string{execRoot, filepath.Join(dir, "data")} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(os.Args[0])
	if err == nil {
		err = os.WriteFile(program, b, 0o700)
	}
	list, errList := json.Marshal(containers)
	if err := errors.Join(err, errList); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--data-root", filepath.Join(dir, "data"), "--exec-root", execRoot)
	cmd.Env = append(os.Environ(), serveAt+"="+socket, serveContainers+"="+string(list))
	startServing(t, cmd)
	return socket, execRoot, cmd.Process
}

// startEngine starts one as a process of its own, which can be stopped and looked at.
func startEngine(t *testing.T) (socket string, engine *os.Process) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "docker.sock")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), serveAt+"="+socket, "SECRET=of the engine")
	startServing(t, cmd)
	return socket, cmd.Process
}

// startServing starts an engine, and ends it with the test.
func startServing(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the engine did not start: %q, %v", line, err)
	}
}

// examine looks at the engine of a socket. patience is for those that never answer;
// others have all the time that they need.
func examine(t *testing.T, socket string, patience time.Duration) (*Examination, *Report) {
	t.Helper()
	p, err := New(Options{Host: "unix://" + socket, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p, p.Examine(context.Background())
}

const (
	answers = time.Minute
	mute    = 2 * time.Second
)

// has reports whether something of that kind was found, about that process.
func has(r *Report, kind Kind, pid int) bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Kind == kind && f.PID == pid })
}

// checkCause wants the engine hung, and by what.
func checkCause(t *testing.T, r *Report, kind Kind, pid int) {
	t.Helper()
	if !has(r, kind, pid) {
		t.Errorf("no %s of pid %d in %+v", kind, pid, r.Findings)
	}
	if r.Status != "hung" || r.Verdict.Cause == nil || r.Verdict.Cause.Kind != kind {
		t.Errorf("the engine is %s by %+v, want it hung by %s", r.Status, r.Verdict.Cause, kind)
	}
}

func TestExamineHealthyEngine(t *testing.T) {
	socket, dockerd := startEngine(t)
	_, r := examine(t, socket, answers)
	if r.Engine.PID != dockerd.Pid || r.Engine.Version != "28.2.2" || r.Engine.Host != "unix://"+socket {
		t.Errorf("the engine is %+v, want pid %d, version 28.2.2", r.Engine, dockerd.Pid)
	}
	for _, kind := range []Kind{socketPermission, socketUnlinked, dockerdAbsent, dockerdRole.is(stopped), dockerdRole.is(traced), backlogFull, dockerdSilent, listSilent, engineRefuses} {
		if has(r, kind, dockerd.Pid) || has(r, kind, 0) {
			t.Errorf("%s of a healthy engine: %+v", kind, r.Findings)
		}
	}
}

func TestExamineStoppedEngine(t *testing.T) {
	socket, dockerd := startEngine(t)
	await.Stop(t, dockerd.Pid)
	p, r := examine(t, socket, mute)
	checkCause(t, r, dockerdRole.is(stopped), dockerd.Pid)
	if !has(r, dockerdSilent, 0) {
		t.Errorf("dockerd is not said to be silent: %+v", r.Findings)
	}
	var commands []string
	for _, s := range r.Verdict.Next {
		commands = append(commands, s.Command)
	}
	if want := fmt.Sprintf("kill -CONT %d", dockerd.Pid); !slices.Contains(commands, want) {
		t.Errorf("the steps are %q, want %q among them", commands, want)
	}
	dumps := p.Dump(context.Background())
	if len(dumps) == 0 || !strings.Contains(dumps[0].Error, "is stopped") {
		t.Errorf("the dump of a stopped process is %+v", dumps)
	}
}

func TestExamineNoEngine(t *testing.T) {
	dir := t.TempDir()
	_, r := examine(t, filepath.Join(dir, "missing.sock"), answers)
	checkCause(t, r, dockerdAbsent, 0)

	dead := strings.TrimPrefix(fakeengine.Dead(t), "unix://")
	p, r := examine(t, dead, answers)
	checkCause(t, r, dockerdAbsent, 0)
	if dumps := p.Dump(context.Background()); len(dumps) != 1 || !strings.Contains(dumps[0].Error, "no signal is sent") {
		t.Errorf("the dumps of no process are %+v", dumps)
	}
}

func TestExamineUnlinkedSocket(t *testing.T) {
	socket, dockerd := startEngine(t)
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	_, r := examine(t, socket, answers)
	checkCause(t, r, socketUnlinked, dockerd.Pid)
}

// TestExamineFullBacklog: nobody takes connections, and no more can wait.
func TestExamineFullBacklog(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "full.sock")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrUnix{Name: socket}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for {
		waiting, err := connect(socket)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(waiting)
	}
	_, r := examine(t, socket, mute)
	if !has(r, backlogFull, os.Getpid()) || r.Status != "hung" {
		t.Errorf("%s, %+v, want a full backlog of pid %d", r.Status, r.Findings, os.Getpid())
	}
}

func TestExamineRefusingEngine(t *testing.T) {
	socket := strings.TrimPrefix(fakeengine.Serve(t, fakeengine.Sick["error"]), "unix://")
	_, r := examine(t, socket, answers)
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Kind == engineRefuses })
	if i < 0 || !strings.Contains(r.Findings[i].Text, "the engine is ") || r.Status == "healthy" {
		t.Errorf("%s, %+v, want a refusal in the engine's words", r.Status, r.Findings)
	}
}

// TestDumpSparesOthers: who is not called dockerd gets no signal, of which it would die.
func TestDumpSparesOthers(t *testing.T) {
	socket, dockerd := startEngine(t)
	p, _ := examine(t, socket, answers)
	dumps := p.Dump(context.Background())
	if len(dumps) == 0 || dumps[0].PID != dockerd.Pid || !strings.Contains(dumps[0].Error, "gets no signal: it is no dockerd") {
		t.Errorf("%+v, want a refusal that names pid %d", dumps, dockerd.Pid)
	}
	if err := p.client.Ping(context.Background()); err != nil {
		t.Errorf("the engine has ended: %v", err)
	}
}

func TestBundleOfAnEngine(t *testing.T) {
	socket, dockerd := startEngine(t)
	p, r := examine(t, socket, answers)
	var b bytes.Buffer
	if _, err := p.Bundle(context.Background(), &b, r); err != nil {
		t.Fatal(err)
	}
	files := unpack(t, &b)
	status := fmt.Sprintf("\nPid:\t%d\n", dockerd.Pid)
	for name, want := range map[string]string{
		"dx-doctor/report.json": `"Status"`, "dx-doctor/list.json": "", "dx-doctor/sockets.json": socket,
		"dx-doctor/processes/dockerd/status": status,
	} {
		if text, ok := files[name]; !ok || !strings.Contains(text, want) {
			t.Errorf("%s is there: %v, and lacks %q", name, ok, want)
		}
	}
	for name, text := range files {
		if strings.Contains(text, "of the engine") {
			t.Errorf("%s holds a value of the environment", name)
		}
	}
}

func unpack(t *testing.T, r io.Reader) map[string]string {
	t.Helper()
	zip, err := gzip.NewReader(r)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for archive := tar.NewReader(zip); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(text)
	}
}
