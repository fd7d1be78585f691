package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"dx/e2e/await"
)

// TestParseGoroutines on what a dockerd 20.10 wrote: the runtime's own lines are
// counted.
func TestParseGoroutines(t *testing.T) {
	b, err := os.ReadFile("testdata/dockerd-20.10.txt")
	if err != nil {
		t.Fatal(err)
	}
	list, err := ParseGoroutines(bytes.NewReader(b))
	if want := strings.Count("\n"+string(b), "\ngoroutine "); err != nil || len(list) != want {
		t.Errorf("%d goroutines %v, want %d", len(list), err, want)
	}
	n := 0
	for _, g := range GroupGoroutines(list) {
		n += g.Count
		if g.Waits == WaitsLock || g.Waits == WaitsShim {
			t.Errorf("an idle dockerd waits for a %s: %+v", g.Waits, g)
		}
	}
	if n != len(list) {
		t.Errorf("the groups have %d of %d", n, len(list))
	}
}

const hungDump = `goroutine 7 [semacquire, 15 minutes]:
sync.runtime_SemacquireMutex(0xc0003c8044, 0x0, 0x1)
	/usr/lib/go/src/runtime/sema.go:71 +0x25
sync.(*Mutex).Lock(...)
	/usr/lib/go/src/sync/mutex.go:81
github.com/docker/docker/daemon.(*Daemon).ContainerInspectCurrent(0xc00)
	inspect.go:40 +0x85
github.com/docker/docker/api/server/router/container.(*containerRouter).getContainersByName(0xc0)
	inspect.go:15 +0x114

goroutine 8 gp=0xc000007dc0 m=nil [sync.Mutex.Lock, 3 minutes, locked to thread]:
sync.(*Mutex).Lock(...)
github.com/docker/docker/daemon.(*Daemon).ContainerInspectCurrent(0xc00)
github.com/docker/docker/api/server/router/container.(*containerRouter).getContainersByName(0xc0)

time="2026-01-01" level=info msg="goroutine 9 [running]: is not one"
goroutine 10 [select, 20 minutes]:
google.golang.org/grpc.(*ClientConn).Invoke(0xc0)
github.com/docker/docker/libcontainerd/remote.(*client).Exec(0xc0)
`

func TestGroupGoroutines(t *testing.T) {
	list, err := ParseGoroutines(strings.NewReader(hungDump))
	if err != nil || len(list) != 3 {
		t.Fatalf("%+v %v", list, err)
	}
	got := GroupGoroutines(list)
	want := []Group{
		{Waits: WaitsLock, At: "github.com/docker/docker/daemon.(*Daemon).ContainerInspectCurrent", For: "getContainersByName", Count: 2, Minutes: 15, Longest: 7},
		{Waits: WaitsContainerd, At: "github.com/docker/docker/libcontainerd/remote.(*client).Exec", Count: 1, Minutes: 20, Longest: 10},
	}
	if len(got) != 2 || got[0] != want[0] || got[1] != want[1] {
		t.Errorf("groups %+v, want %+v", got, want)
	}
}

func TestFlagOf(t *testing.T) {
	for _, test := range []struct{ line, name, want string }{
		{"dockerd\x00--data-root\x00/x\x00", "data-root", "/x"},
		{"dockerd\x00--data-root=/x\x00", "data-root", "/x"},
		{"dockerd\x00--data-root\x00/x\x00--data-root=/y\x00", "data-root", "/y"},
		{"dockerd\x00--live-restore\x00--debug\x00", "live-restore", "true"},
		{"dockerd\x00--live-restore=false\x00", "live-restore", "false"},
		{"shim\x00-address\x00/run/c.sock\x00", "address", "/run/c.sock"},
		{"dockerd\x00--data-root-x\x00/x\x00", "data-root", ""},
		{"dockerd\x00data-root\x00/x\x00", "data-root", ""},
		{"", "x", ""},
	} {
		if got := flagOf([]byte(test.line), test.name); got != test.want {
			t.Errorf("%q of %q: %q, want %q", test.name, test.line, got, test.want)
		}
	}
}

// TestRunnerLeavesTheLateAlone: probes that never return cost some time and no more,
// however many there are.
func TestRunnerLeavesTheLateAlone(t *testing.T) {
	forever := make(chan struct{})
	defer close(forever)
	for _, kernel := range []bool{false, true} {
		var probes []probe
		for range 3 * maxProbes {
			probes = append(probes, probe{"stuck", func(context.Context) []Finding { <-forever; return nil }, kernel})
		}
		r := &runner{timeout: 50 * time.Millisecond, patience: 200 * time.Millisecond}
		await.Returns(t, "a runner whose probes never return", func() { r.run(context.Background(), probes) })
		if len(r.findings) != len(probes) || len(r.probed) != len(probes) {
			t.Errorf("%d findings of %d probes", len(r.findings), len(probes))
		}
	}
}

// TestRunnerWaitsForTheSlow: what looks at the kernel counts however long it takes, and
// what asks somebody as soon as it has noticed its deadline.
func TestRunnerWaitsForTheSlow(t *testing.T) {
	r := newRunner(time.Millisecond, nil)
	slow := func(context.Context) []Finding {
		time.Sleep(10 * grace)
		return []Finding{found(dockerdRole.is(stopped), "seen")}
	}
	r.run(context.Background(), []probe{look("slow", slow), question("slow to notice", slow)})
	for _, f := range r.findings {
		if f.Kind != dockerdRole.is(stopped) {
			t.Errorf("%s: %s", f.Kind, f.Text)
		}
	}
	if len(r.findings) != 2 {
		t.Errorf("%d findings of 2 probes", len(r.findings))
	}
}

func TestSeverityText(t *testing.T) {
	for _, s := range []Severity{Note, Degraded, Hung} {
		b, err := json.Marshal(s)
		var back Severity
		if err != nil || json.Unmarshal(b, &back) != nil || back != s {
			t.Errorf("%s becomes %s, and that %v (%v)", s, b, back, err)
		}
	}
}

func FuzzParseGoroutines(f *testing.F) {
	f.Add([]byte(hungDump))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, _ := ParseGoroutines(bytes.NewReader(b))
		n := 0
		for _, g := range GroupGoroutines(list) {
			n += g.Count
		}
		if n != len(list) {
			t.Errorf("the groups have %d of %d", n, len(list))
		}
	})
}

// FuzzAnswers: what a shim may answer, and what its command line may be.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte("\x00\x00\x00\x02\x00\x00\x00\x01\x02\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		_ = askState(struct {
			io.Reader
			io.Writer
		}{bytes.NewReader(b), io.Discard}, "id")
		_ = flagOf(b, "data-root")
	})
}
