package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"dx/e2e/await"
	"dx/e2e/engine"
	"dx/e2e/fakeengine"
)

// getsIn checks that dx finds a container by name, ID and prefix, enters it, and
// shows its namespaces, with the given flags before the verb.
func getsIn(t *testing.T, e *engine.Engine, c engine.Container, flags ...string) {
	t.Helper()
	for _, ref := range []string{c.Name, c.ID, c.ID[:12]} {
		r := timely(t, e, append(flags, "exec", ref, "cat", "/proc/sys/kernel/hostname")...)
		if strings.TrimSpace(r.Stdout) != c.ID[:12] || r.Code != 0 {
			t.Errorf("exec %s: %+v", ref, r)
		}
	}
	r := timely(t, e, append(flags, "ns", c.Name, "--format", "{{range .Namespaces}}{{if eq .Type \"net\"}}{{.Inode}}{{end}}{{end}}")...)
	if want := strconv.FormatUint(kernelInode(t, c.PID, "net"), 10); strings.TrimSpace(r.Stdout) != want {
		t.Errorf("ns: %+v, the kernel says %s", r, want)
	}
	r = timely(t, e, append(flags, "ps", "--no-trunc", "--format", "{{.ID}} {{.Pid}}", "--filter", "name="+c.Name)...)
	if want := fmt.Sprintf("%s %d", c.ID, c.PID); strings.TrimSpace(r.Stdout) != want {
		t.Errorf("ps: %+v, want %s", r, want)
	}
	if r := timely(t, e, append(flags, "exec", "no-such-container", "true")...); r.Code != 1 || !strings.Contains(r.Stderr, "No such container: no-such-container") {
		t.Errorf("exec of what is not there: %+v", r)
	}
}

// timely runs dx with its default timeout, and ends the test if it hangs, as docker
// does here for ever.
func timely(t *testing.T, e *engine.Engine, args ...string) engine.Result {
	t.Helper()
	return e.Do(t, engine.Command{Args: append([]string{e.DxPath(t)}, args...)})
}

// stop stops a process for the rest of the test.
func stop(t *testing.T, pid int) {
	t.Helper()
	t.Cleanup(func() { _ = syscall.Kill(pid, syscall.SIGCONT) })
	await.Stop(t, pid)
}

func TestHungEngine(t *testing.T) {
	for name, cgroup := range cgroups {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := suite.Start(t, engine.Options{Cgroup: cgroup, Args: []string{"--live-restore"}})
			c := e.Run(t, engine.Busybox)
			ended := e.Create(t, engine.Busybox)
			r := timely(t, e, "--source", "host", "exec", ended.Name, "true")
			if want := "container " + ended.ID + " is not running"; r.Code != 1 || !strings.Contains(r.Stderr, want) {
				t.Errorf("exec in a container that does not run: %+v, want %q", r, want)
			}
			containerd, err := e.ContainerdPID()
			if err != nil {
				t.Fatal(err)
			}
			t.Run("healthy, host asked", func(t *testing.T) { getsIn(t, e, c, "--source", "host") })
			t.Run("socket missing", func(t *testing.T) {
				socket := strings.TrimPrefix(e.Host, "unix://")
				if err := os.Rename(socket, socket+".away"); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if err := os.Rename(socket+".away", socket); err != nil {
						t.Error(err)
					}
				})
				getsIn(t, e, c) // dockerd still listens on a socket of that name
			})
			t.Run("another socket missing", func(t *testing.T) {
				r := timely(t, e, "-H", "unix:///nosuch/docker.sock", "exec", c.Name, "true")
				if r.Code == 0 || !strings.Contains(r.Stderr, "No such container: "+c.Name) {
					t.Errorf("a container that another engine has, and this one lives: %v, want that it is not meant", r)
				}
			})
			t.Run("containerd stopped", func(t *testing.T) {
				stop(t, containerd)
				getsIn(t, e, c)
			})
			t.Run("dockerd stopped", func(t *testing.T) {
				stop(t, e.PID)
				getsIn(t, e, c)
				// The kernel says that it is stopped: it is not waited for.
				getsIn(t, e, c, "--api-timeout", "24h")
				r := timely(t, e, "--api-timeout", "24h", "--source", "engine", "exec", c.Name, "true")
				if want := fmt.Sprintf("dockerd (pid %d) is stopped (", e.PID); r.Code == 0 || !strings.Contains(r.Stderr, want) {
					t.Errorf("--source engine of a stopped dockerd: %v, want %q", r, want)
				}
				r = timely(t, e, "__complete", "exec", c.Name)
				if !strings.Contains(r.Stdout, c.Name+"\t") {
					t.Errorf("what a shell is offered: %+v, want %s", r, c.Name)
				}
			})
			t.Run("both stopped", func(t *testing.T) {
				stop(t, containerd)
				stop(t, e.PID)
				getsIn(t, e, c)
			})
			t.Run("dockerd killed", func(t *testing.T) {
				if err := e.Kill(); err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() {
					if err := e.Boot(); err != nil {
						t.Error(err)
					}
				})
				getsIn(t, e, c)
			})
		})
	}
}

// TestLyingEngine: what the kernel contradicts is dropped, with a warning that
// names both.
func TestLyingEngine(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c, other := e.Run(t, engine.Busybox), e.Run(t, engine.Busybox)
	for name, pid := range map[string]int{"a process of the host": os.Getpid(), "another container": other.PID, "nobody": 1 << 22} {
		t.Run(name, func(t *testing.T) {
			socket := fakeengine.Edited(t, e.Host, func(body []byte) []byte { return withPID(t, body, pid) })
			r := e.Dx(t, "-H", socket, "exec", c.Name, "cat", "/proc/sys/kernel/hostname")
			if strings.TrimSpace(r.Stdout) != c.ID[:12] || !strings.Contains(r.Stderr, "engine says that") {
				t.Errorf("exec with a PID that the kernel contradicts: %v, want the hostname %s and a warning with what the engine says", r, c.ID[:12])
			}
		})
	}
}

// TestLockedContainer: the inspect of one container hangs while all else answers.
func TestLockedContainer(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	socket := fakeengine.Proxy(t, e.Host, func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if strings.HasSuffix(r.URL.Path, "/json") && strings.Contains(r.URL.Path, c.Name) {
			fakeengine.Hung(w, r)
			return
		}
		pass.ServeHTTP(w, r)
	})
	r := timely(t, e, "--api-timeout", "4s", "-H", socket, "exec", c.Name, "cat", "/proc/sys/kernel/hostname")
	if strings.TrimSpace(r.Stdout) != c.ID[:12] || !strings.Contains(r.Stderr, "inspect "+c.Name+" hangs while ping answers") {
		t.Errorf("exec of a container whose inspection hangs: %v, want the hostname %s and a warning that inspect hangs", r, c.ID[:12])
	}
}

// withPID changes State.Pid in an answer of inspect, and nothing in any other.
func withPID(t *testing.T, body []byte, pid int) []byte {
	var answer map[string]json.RawMessage
	var state map[string]any
	if json.Unmarshal(body, &answer) != nil || json.Unmarshal(answer["State"], &state) != nil || state["Pid"] == nil {
		return body
	}
	state["Pid"] = pid
	b, err := json.Marshal(state)
	if err == nil {
		answer["State"] = b
		b, err = json.Marshal(answer)
	}
	if err != nil {
		t.Error(err)
	}
	return b
}
