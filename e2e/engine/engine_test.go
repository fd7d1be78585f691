package engine

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

var suite Suite

func TestMain(m *testing.M) {
	if os.Getenv(victimEnv) != "" {
		victim()
	}
	os.Exit(suite.Main(m))
}

// victimEnv makes the test binary start an engine and wait to be killed.
const victimEnv = "DX_E2E_VICTIM"

// belongings are what must be gone after the victim.
type belongings struct {
	Dir     string
	IDs     []string
	Sockets []string
}

func victim() {
	cgroup := map[string]Cgroup{"v1": V1, "v2": V2}[os.Getenv(victimEnv)]
	e, err := Start(Options{Cgroup: cgroup})
	if err != nil {
		panic(err)
	}
	b := belongings{Dir: e.Dir}
	for _, args := range [][]string{
		{"run", "-d", "--name", "plain", Busybox},
		{"run", "-d", "--name", "paused", "--pid", "host", Busybox},
	} {
		out, err := e.Command(context.Background(), append([]string{"docker"}, args...)...).Output()
		if err != nil {
			panic(err)
		}
		b.IDs = append(b.IDs, strings.TrimSpace(string(out)))
	}
	if err := e.Command(context.Background(), "docker", "pause", "paused").Run(); err != nil {
		panic(err)
	}
	addresses, _ := filepath.Glob(e.Dir + "/exec/containerd/daemon/*/*/*/address")
	for _, a := range addresses {
		s, _ := os.ReadFile(a)
		b.Sockets = append(b.Sockets, strings.TrimPrefix(string(s), "unix://"))
	}
	json.NewEncoder(os.Stdout).Encode(b)
	select {}
}

func TestNothingIsLeftAfterSIGKILL(t *testing.T) {
	for name, need := range map[string]Need{"v1": CgroupV1, "v2": CgroupV2} {
		t.Run(name, func(t *testing.T) {
			Require(t, Root, Dockerd, need)
			cmd, b := startVictim(t, name)
			if len(b.Sockets) != 2 || len(b.leftovers()) < 5 {
				t.Errorf("the search for leftovers finds too little of a running engine: %+v %v", b, b.leftovers())
			}
			cmd.Process.Kill()
			cmd.Wait()
			b.mustVanish(t)
		})
	}
}

func TestNothingIsLeftAfterInterrupt(t *testing.T) {
	Require(t, Root, Dockerd)
	cmd, b := startVictim(t, "host")
	// The whole group gets the signal, as from ctrl-C in a terminal.
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	b.mustVanish(t)
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
		t.Fatal(err)
	}
	return cmd, b
}

func (b belongings) mustVanish(t *testing.T) {
	t.Helper()
	var left []string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if left = b.leftovers(); len(left) == 0 {
			return
		}
	}
	t.Errorf("left after SIGKILL: %v", left)
}

// leftovers looks for every trace: the directory, sockets, cgroups, and for each
// process of the host its links and mounts.
func (b belongings) leftovers() []string {
	var left []string
	for _, path := range append(b.Sockets, b.Dir) {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			left = append(left, path)
		}
	}
	filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && b.names(path) {
			left = append(left, path)
		}
		return nil
	})
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, p := range procs {
		if p != "/proc/"+strconv.Itoa(os.Getpid()) && b.holds(p) {
			left = append(left, p)
		}
	}
	return left
}

func (b belongings) names(s string) bool {
	for _, id := range append([]string{b.Dir}, b.IDs...) {
		if strings.Contains(s, id) {
			return true
		}
	}
	return false
}

func (b belongings) holds(proc string) bool {
	for _, link := range []string{"cwd", "exe", "root"} {
		if to, err := os.Readlink(proc + "/" + link); err == nil && b.names(to) {
			return true
		}
	}
	for _, file := range []string{"cgroup", "cmdline", "mountinfo"} {
		if text, err := os.ReadFile(proc + "/" + file); err == nil && b.names(string(text)) {
			return true
		}
	}
	return false
}

func TestUsernsRemap(t *testing.T) {
	e := suite.Start(t, Options{UsernsRemap: true})
	c := e.Run(t, Busybox)
	uidMap := e.Docker(t, "exec", c.Name, "cat", "/proc/self/uid_map").Stdout
	if f := strings.Fields(uidMap); len(f) != 3 || f[1] != strconv.Itoa(RemapBase) {
		t.Errorf("uid_map is %q", uidMap)
	}
}

func TestLiveRestore(t *testing.T) {
	e := suite.Start(t, Options{Args: []string{"--live-restore"}})
	c := e.Run(t, Busybox)
	if err := e.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(c.PID, 0); err != nil {
		t.Errorf("the container ended with its engine: %v", err)
	}
	if err := e.Boot(); err != nil {
		t.Fatal(err)
	}
	if pid := e.pidOf(t, c.Name); pid != c.PID {
		t.Errorf("after the restart pid %d, before %d", pid, c.PID)
	}
}
