package world_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"dx/e2e/engine"
	"dx/e2e/world"
)

// victimEnv makes the test binary a run of its own, in a world with an engine, that
// waits to be killed.
const victimEnv = "DX_E2E_VICTIM"

// visitorEnv makes the test binary one that does something small in a world.
const visitorEnv = "DX_E2E_VISITOR"

// These tests are the only ones that stay on the real host: they look at a world
// from outside.
func TestMain(m *testing.M) {
	switch {
	case os.Getenv(victimEnv) != "":
		os.Exit(world.Enter(victim))
	case os.Getenv(visitorEnv) != "":
		os.Exit(world.Enter(visitor))
	case os.Getenv(engine.AskedEnv) == "":
		fmt.Println(engine.NotAsked)
	default:
		os.Exit(m.Run())
	}
}

// belongings are what must be gone after the victim.
type belongings struct {
	Dir   string
	PIDNS string   // of the world
	IDs   []string // of its containers
}

func victim() int {
	cgroup := map[string]engine.Cgroup{"v1": engine.V1, "v2": engine.V2}[os.Getenv(victimEnv)]
	e, err := engine.Start(engine.Options{Cgroup: cgroup})
	if err != nil {
		panic(err)
	}
	b := belongings{Dir: e.Dir}
	if b.PIDNS, err = os.Readlink("/proc/self/ns/pid"); err != nil {
		panic(err)
	}
	for _, args := range [][]string{
		{"docker", "run", "-d", "--name", "plain", engine.Busybox},
		{"docker", "run", "-d", "--name", "paused", "--pid", "host", engine.Busybox},
	} {
		out, err := e.Command(context.Background(), args...).Output()
		if err != nil {
			panic(err)
		}
		b.IDs = append(b.IDs, strings.TrimSpace(string(out)))
	}
	if err := e.Command(context.Background(), "docker", "pause", "paused").Run(); err != nil {
		panic(err)
	}
	json.NewEncoder(os.Stdout).Encode(b)
	for {
		time.Sleep(time.Hour)
	}
}

func TestNothingIsLeftAfterSIGKILL(t *testing.T) {
	for name, need := range map[string]engine.Need{"v1": engine.CgroupV1, "v2": engine.CgroupV2} {
		t.Run(name, func(t *testing.T) {
			engine.Require(t, engine.Root, engine.Dockerd, need)
			cmd, b := startVictim(t, name)
			// A container is seen by its process and its cgroups.
			if left := b.leftovers(t); len(left) < 6 {
				t.Errorf("the search for leftovers finds too little of a running world (%+v): %q", b, left)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			b.mustVanish(t)
		})
	}
}

func TestNothingIsLeftAfterInterrupt(t *testing.T) {
	engine.Require(t, engine.Root, engine.Dockerd)
	cmd, b := startVictim(t, "host")
	// The whole group gets the signal, as from ctrl-C in a terminal.
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	// It ends after its world, so that a script may go on.
	if left := b.leftovers(t); len(left) > 0 {
		t.Errorf("left when the interrupted run had ended: %q", left)
	}
}

// startVictim starts the test binary as a victim, in a process group of its own.
func startVictim(t *testing.T, cgroup string) (*exec.Cmd, belongings) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), victimEnv+"="+cgroup)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var b belongings
	if err := json.NewDecoder(out).Decode(&b); err != nil {
		t.Fatalf("the victim says nothing: %v", err)
	}
	b.hold(t)
	return cmd, b
}

// hold keeps the world's PID namespace open, or another may get its number once it has gone.
func (b belongings) hold(t *testing.T) {
	t.Helper()
	for _, link := range namespaceLinks(t) {
		f, err := os.Open(link)
		if err != nil {
			continue // its process has ended
		}
		if to, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd())); err == nil && to == b.PIDNS {
			t.Cleanup(func() { f.Close() })
			return
		}
		f.Close()
	}
	t.Fatalf("nobody is in %s", b.PIDNS)
}

func namespaceLinks(t *testing.T) []string {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	return links
}

func (b belongings) mustVanish(t *testing.T) {
	t.Helper()
	var left []string
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if left = b.leftovers(t); len(left) == 0 {
			return
		}
	}
	t.Errorf("left after SIGKILL: %q", left)
}

// leftovers looks for every trace on the host: the engine's directory, cgroups, and
// the processes of the world.
func (b belongings) leftovers(t *testing.T) []string {
	t.Helper()
	var left []string
	if _, err := os.Lstat(b.Dir); err == nil {
		left = append(left, b.Dir)
	}
	hierarchies, err := world.Hierarchies()
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hierarchies {
		filepath.WalkDir(h.Mount, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() && slices.ContainsFunc(b.IDs, func(id string) bool { return strings.Contains(path, id) }) {
				left = append(left, path)
			}
			return nil
		})
	}
	for _, link := range namespaceLinks(t) {
		if to, err := os.Readlink(link); err == nil && to == b.PIDNS {
			left = append(left, link)
		}
	}
	return left
}

// visit runs the test binary as a visitor of a world: see visitor.
func visit(t *testing.T, what string) (string, int) {
	t.Helper()
	engine.Require(t, engine.Root)
	// As under nohup, with a narrow umask.
	cmd := exec.Command("sh", "-c", `umask 077; trap "" HUP; exec "$0"`, fmt.Sprintf("/proc/%d/exe", os.Getpid()))
	cmd.Env = append(os.Environ(), visitorEnv+"="+what)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func visitor() int {
	switch os.Getenv(visitorEnv) {
	case "exit":
		return 7
	case "die":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case "nested":
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), visitorEnv+"=exit")
		cmd.Run()
		return cmd.ProcessState.ExitCode()
	case "look":
		json.NewEncoder(os.Stdout).Encode(lookAround())
	}
	return 0
}

// TestExitCode: what the program ends with comes out, by exit and by signal, also
// from a world in a world.
func TestExitCode(t *testing.T) {
	for what, want := range map[string]int{"exit": 7, "die": 128 + 9, "nested": 7} {
		t.Run(what, func(t *testing.T) {
			if _, got := visit(t, what); got != want {
				t.Errorf("exit code %d, want %d", got, want)
			}
		})
	}
}

// sight is what a visitor finds.
type sight struct {
	PID        int
	Processes  []string
	Hostname   string
	Interfaces []string
	Files      []string // of the directories that are the world's own
	Umask      int
	IgnoresHUP bool
}

func lookAround() sight {
	s := sight{PID: os.Getpid(), Umask: syscall.Umask(0), IgnoresHUP: signal.Ignored(syscall.SIGHUP)}
	s.Processes, _ = filepath.Glob("/proc/[0-9]*")
	s.Hostname, _ = os.Hostname()
	s.Interfaces, _ = filepath.Glob("/sys/class/net/*")
	for _, dir := range []string{os.TempDir(), "/run", "/dev/shm"} {
		files, _ := filepath.Glob(dir + "/*")
		s.Files = append(s.Files, files...)
	}
	return s
}

// TestNothingForeignIsSeen: a world has its own processes, host name, interfaces and
// temporary files, and nothing of the signals and the umask of who started it.
func TestNothingForeignIsSeen(t *testing.T) {
	out, code := visit(t, "look")
	var got sight
	if err := json.Unmarshal([]byte(out), &got); err != nil || code != 0 {
		t.Fatalf("exit code %d, %v: %s", code, err, out)
	}
	want := sight{PID: got.PID, Processes: []string{"/proc/1", fmt.Sprintf("/proc/%d", got.PID)}, Hostname: "dx-world",
		Interfaces: []string{"/sys/class/net/lo"}, Files: []string{"/run/null", "/run/tmp"}, Umask: 0o022}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("a visitor sees\n%+v, want\n%+v", got, want)
	}
}
