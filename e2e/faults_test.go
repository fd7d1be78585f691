package e2e

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"dx/e2e/await"
	"dx/e2e/engine"
	"dx/e2e/fakeengine"
)

// badEngines are what may sit behind a socket instead of an engine. Each serves one
// connection.
var badEngines = map[string]func(net.Conn){
	"silent":  func(c net.Conn) { _, _ = io.Copy(io.Discard, c) },
	"closing": func(c net.Conn) { c.Close() },
	"garbage": func(c net.Conn) { fmt.Fprint(c, "\x00\xff\x1b[2J not HTTP\r\n\r\n") },
	"500": func(c net.Conn) {
		fmt.Fprint(c, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 18\r\n\r\n{\"message\":\"oops\"}")
	},
	"half a body": func(c net.Conn) {
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{\"Id\":\"")
	},
	"no JSON": func(c net.Conn) {
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 4\r\n\r\nnull")
	},
	"a byte a second": func(c net.Conn) {
		for _, b := range []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}") {
			if _, err := c.Write([]byte{b}); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	},
}

// TestBadEngine: whatever sits behind the socket, dx gets in by the host's answer
// and says in one line why the engine was not used. The container's own engine is dead:
// one that lives has a socket of its own.
func TestBadEngine(t *testing.T) {
	for cgroups, version := range cgroups {
		t.Run(cgroups, func(t *testing.T) {
			t.Parallel()
			e := suite.Start(t, engine.Options{Cgroup: version, Args: []string{"--live-restore"}})
			c := e.Run(t, engine.Busybox)
			if err := e.Kill(); err != nil {
				t.Fatal(err)
			}
			badEnginesGetIn(t, e, c)
			if err := e.Boot(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func badEnginesGetIn(t *testing.T, e *engine.Engine, c engine.Container) {
	t.Run("engines", func(t *testing.T) {
		for name, serve := range badEngines {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				socket := badEngine(t, serve)
				getsIn(t, e, c, "-H", socket)
				r := timely(t, e, "-H", socket, "exec", c.Name, "true")
				if n := strings.Count(r.Stderr, "\n"); n != 1 || !strings.Contains(r.Stderr, "falling back to host discovery") {
					t.Errorf("not one line about the engine: %q", r.Stderr)
				}
				if strings.Contains(r.Stderr, "\x1b") {
					t.Errorf("what the socket sends reaches the terminal: %q", r.Stderr)
				}
				r = timely(t, e, "-H", socket, "--source", "engine", "exec", c.Name, "true")
				if r.Code == 0 || r.Stderr == "" {
					t.Errorf("--source engine: %+v", r)
				}
			})
		}
	})
}

// badEngine serves each connection once something was asked, and closes it.
func badEngine(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	return fakeengine.ServeRaw(t, func(c net.Conn) {
		defer c.Close()
		if _, err := c.Read(make([]byte, 4096)); err == nil {
			serve(c)
		}
	})
}

// TestRecycledPID: the engine names a PID that was the container's and is now
// another process's.
func TestRecycledPID(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	gone := e.Run(t, engine.Busybox)
	e.KillContainer(t, gone.Name)
	host := processWithPID(t, gone.PID)
	socket := fakeengine.Edited(t, e.Host, func(body []byte) []byte { return withPID(t, body, host) })
	r := e.Dx(t, "-H", socket, "exec", c.Name, "cat", "/proc/sys/kernel/hostname")
	if strings.TrimSpace(r.Stdout) != c.ID[:12] || !strings.Contains(r.Stderr, fmt.Sprint(host)) {
		t.Errorf("exec with a recycled PID: %v, want the hostname %s and a word about pid %d", r, c.ID[:12], host)
	}
	r = e.Dx(t, "-H", socket, "--source", "engine", "exec", c.Name, "true")
	if r.Code == 0 || !strings.Contains(r.Stderr, fmt.Sprint(host)) {
		t.Errorf("dx enters a process of the host: %+v", r)
	}
}

// processWithPID starts a process of the host that has this PID, which must be
// free: the kernel gives the number after ns_last_pid next.
func processWithPID(t *testing.T, pid int) int {
	t.Helper()
	// Others start processes, too: whose comes first gets the number.
	await.Until(t, fmt.Sprintf("a process of the test has PID %d", pid), func() bool {
		if err := os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sleep", "600")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		end := func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }
		if cmd.Process.Pid == pid {
			t.Cleanup(end)
			return true
		}
		end()
		return false
	})
	return pid
}

// TestSourcesAgree: what would run is the same, system call by system call,
// whether the engine was asked or only the host.
func TestSourcesAgree(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		for _, k := range kinds {
			t.Run(k.name, func(t *testing.T) {
				t.Parallel()
				c := e.Run(t, engine.Busybox, k.run...)
				for _, flags := range k.execs {
					want, got := explained(t, e, "engine", c, flags), explained(t, e, "host", c, flags)
					if want != got {
						t.Errorf("exec %q\nengine:\n%s\nhost:\n%s", flags, want, got)
					}
				}
			})
		}
	})
}

// origin is the end of a line of --explain: where the value came from, which is
// what the two sources may differ in.
var origin = regexp.MustCompile(`(?m)  # .*$`)

func explained(t *testing.T, e *engine.Engine, source string, c engine.Container, flags []string) string {
	t.Helper()
	args := append([]string{"--source", source, "exec", "--explain"}, flags...)
	r := e.Dx(t, append(args, c.Name, "env")...)
	if r.Code != 0 || !strings.Contains(r.Stdout, "execve(") {
		t.Fatalf("exec --explain of %s by the %s: %v, want the system calls up to execve", c.Name, source, r)
	}
	return origin.ReplaceAllString(r.Stdout, "")
}
