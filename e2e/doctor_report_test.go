package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dx/e2e/engine"
)

// doctorReport is what dx doctor --format json is documented to be.
type doctorReport struct {
	Status  string
	Verdict struct {
		Sentence, Layer, Confidence string
		Cause                       *doctorFinding
		Also                        []string
		Next                        []struct {
			Why, Command string
			Changes      bool
		}
	}
	Engine struct {
		Host, Version                  string
		PID                            int
		Process, Unit                  string
		LiveRestore                    bool
		DataRoot, ExecRoot, Containerd string
		ContainerdPID                  int
		ContainerdUnit                 string
		Supervised                     bool
		Running                        int
		Doubt                          string
	}
	Findings []doctorFinding
	Probes   []struct {
		Name string
		Took int64
		Late bool
	}
	Dumps []doctorDump
	Took  int64
}

type doctorFinding struct {
	Kind, Layer, Severity string
	Container, ID         string
	PID                   int
	Path, Text            string
	Evidence              []string
}

type doctorDump struct {
	Of         string
	PID        int
	File       string
	Goroutines int
	Groups     []struct {
		Waits, At, For          string
		Count, Minutes, Longest int
	}
	Error string
}

// examine runs dx doctor and returns its report and exit code.
func examine(t *testing.T, e *engine.Engine, flags ...string) (doctorReport, int) {
	t.Helper()
	return reportOf(t, e, append([]string{e.DxPath(t), "doctor", "--format", "json"}, flags...)...)
}

// reportOf runs a command that ends as dx doctor --format json does.
func reportOf(t *testing.T, e *engine.Engine, args ...string) (doctorReport, int) {
	t.Helper()
	r := e.Do(t, engine.Command{Args: args})
	dec := json.NewDecoder(strings.NewReader(r.Stdout))
	dec.DisallowUnknownFields()
	var report doctorReport
	if err := dec.Decode(&report); err != nil {
		t.Fatalf("%q: %v: %+v", args, err, r)
	}
	return report, r.Code
}

// TestDoctorDump: the goroutines of a real dockerd whose lock is held, and a bundle
// that holds no secret.
func TestDoctorDump(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	c := e.Run(t, engine.Busybox, "-e", "PASSWORD=hunter2hunter2")
	shim := parentOf(t, c.PID)
	stop(t, shim)
	execInBackground(t, e, c)
	file := filepath.Join(t.TempDir(), "bundle.tar.gz")
	r, _ := examine(t, e, append(patient, "--dump", "--bundle", file)...)
	waits := map[string][]string{}
	for _, d := range r.Dumps {
		if d.Error != "" || d.Goroutines < 10 {
			t.Errorf("%+v", d)
		}
		t.Cleanup(func() { _ = os.Remove(d.File) }) // containerd's lies in /tmp
		for _, g := range d.Groups {
			waits[d.Of] = append(waits[d.Of], g.Waits)
		}
	}
	// dockerd: inspect waits for the lock that exec holds, which waits for
	// containerd; containerd waits for the shim.
	for of, want := range map[string][]string{"dockerd": {"lock", "containerd"}, "containerd": {"shim"}} {
		for _, w := range want {
			if !slices.Contains(waits[of], w) {
				t.Errorf("%s waits for %v, not for %s", of, waits[of], w)
			}
		}
	}
	names, err := exec.Command("tar", "tzf", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"report.json", "dumps/dockerd.txt", "/shim/stack", "config.v2.json"} {
		if !strings.Contains(string(names), want) {
			t.Errorf("the bundle lacks %s:\n%s", want, names)
		}
	}
	content, err := exec.Command("tar", "xzOf", file).Output()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(content), "hunter2") || !strings.Contains(string(content), "PASSWORD=***") {
		t.Error("the bundle holds the value of an environment variable")
	}
}

// TestDoctorLeavesAlone: whatever it finds, it ends nobody; dockerd's stand-in gets
// no signal, as it would die of it.
func TestDoctorLeavesAlone(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	r, _ := examine(t, e, "-H", "unix://"+deafSocket(t, 8), "--dump")
	if len(r.Dumps) != 1 || !strings.Contains(r.Dumps[0].Error, "no signal") {
		t.Errorf("%+v", r.Dumps)
	}
}

// TestDoctorWatch: a line for each change, none while nothing changes.
func TestDoctorWatch(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	dx := e.DxPath(t)
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := e.Command(ctx, dx, "doctor", "--watch", "--interval", "100ms", "--timeout", "4s", "--format", "{{.Status}}")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for _, step := range []struct {
		signal syscall.Signal
		want   string
	}{{0, "healthy"}, {syscall.SIGSTOP, "hung"}, {syscall.SIGCONT, "healthy"}} {
		if err := syscall.Kill(e.PID, step.signal); err != nil {
			t.Fatal(err)
		}
		if !lines.Scan() || lines.Text() != step.want {
			t.Errorf("after signal %d: %q %v, want %q", step.signal, lines.Text(), lines.Err(), step.want)
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("SIGINT ends it with exit code %d", code)
	}
}
