package top

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"dx/dockerx"
	"dx/dockerx/membership"
	"dx/e2e/await"
	"dx/nsops"
	"dx/nsops/proc"
)

func ways(t *testing.T, scope nsops.Scope, init, shim int, tasks ...Task) string {
	t.Helper()
	x := topper{c: &dockerx.Container{Process: &proc.Process{PID: init}}, scope: scope, parent: shim}
	x.top.Tasks = tasks
	x.tellWays()
	var out []string
	for _, task := range x.top.Tasks {
		out = append(out, fmt.Sprintf("%d:%s", task.PID, task.Via))
	}
	return strings.Join(out, " ")
}

func TestWaysIntoAContainer(t *testing.T) {
	own := nsops.Scope{Cgroups: map[string]string{"": "/docker/x"}, PID: nsops.ID{Inode: 1}}
	shared := nsops.Scope{Cgroups: own.Cgroups}
	bare := nsops.Scope{PID: own.PID}
	in := func(pid, ppid, session int) Task {
		return Task{PID: pid, PPID: ppid, Session: session, answer: membership.Answer{Cgroup: "/docker/x"}}
	}
	out := func(pid, ppid int) Task { return Task{PID: pid, PPID: ppid} }

	for _, c := range []struct{ name, got, want string }{
		{"descendants, exec and its child", ways(t, own, 10, 5, in(12, 11, 10), in(11, 10, 10), in(10, 5, 10), in(21, 20, 20), in(20, 5, 20)), "12: 11: 10:init 21:exec 20:exec"},
		{"nsenter, also adopted by init", ways(t, own, 10, 5, in(10, 5, 10), out(30, 7), out(31, 30), out(32, 10)), "10:init 30:nsenter 31:nsenter 32:nsenter"},
		{"--pid host: an orphan is the shim's child", ways(t, shared, 10, 5, in(10, 5, 10), in(14, 5, 10), in(20, 5, 20)), "10:init 14: 20:exec"},
		{"no cgroup of its own", ways(t, bare, 10, 5, out(10, 5), out(11, 10), out(30, 7)), "10:init 11: 30:nsenter"},
		{"a circle of parents ends", ways(t, own, 10, 5, in(40, 41, 1), in(41, 40, 1), in(42, 42, 1)), "40:exec 41:exec 42:exec"},
	} {
		if c.got != c.want {
			t.Errorf("%s: %s, want %s", c.name, c.got, c.want)
		}
	}
}

// TestForestIsLinear: 100,000 processes, each the child of the one before.
func TestForestIsLinear(t *testing.T) {
	tasks := make([]Task, 100000)
	for i := range tasks {
		tasks[i] = Task{PID: i + 1, PPID: i}
	}
	f := newForest(tasks)
	for i := range slices.Backward(tasks) {
		if f.root(i) != 1 {
			t.Fatalf("root of %d is %d", i+1, f.root(i))
		}
	}
	if got := tasksBelow(tasks, 50001); len(got) != 50000 {
		t.Errorf("%d descendants", len(got))
	}
}

func TestPasswdNames(t *testing.T) {
	file := "nonsense\n::0:0::/:\nroot:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/:\n\nhalf:x:7\nx:x:minus:1::/:\n" +
		strings.Repeat("n", 300) + ":x:9:9::/:\nlast:x:1000:1:a:/:/bin/sh"
	got := map[int]string{0: "", 7: "", 9: "", 1000: "", 4: ""}
	passwdNames([]byte(file), got)
	if diff := cmp.Diff(map[int]string{0: "root", 7: "", 9: "", 1000: "last", 4: ""}, got); diff != "" {
		t.Errorf("names of users (-want +got):\n%s", diff)
	}
}

func FuzzPasswdNames(f *testing.F) {
	f.Add([]byte("root:x:0:0:root:/root:/bin/sh\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		names := map[int]string{0: ""}
		passwdNames(b, names)
		if len(names) != 1 || len(names[0]) > maxName {
			t.Errorf("the names are %v, want one of at most %d bytes, for the uid that was asked for", names, maxName)
		}
	})
}

// TestHostileAccounts: what a container makes of its /etc/passwd neither blocks nor
// leads out of its root.
func TestHostileAccounts(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("chroot takes root")
	}
	secret := t.TempDir() + "/passwd"
	if err := os.WriteFile(secret, []byte("leaked:x:0:0::/:\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for name, make := range map[string]func(string) error{
		"fifo":      func(p string) error { return unix.Mkfifo(p, 0o644) },
		"link out":  func(p string) error { return os.Symlink(secret, p) },
		"relative":  func(p string) error { return os.Symlink("../../../../../../../../.."+secret, p) },
		"directory": func(p string) error { return os.Mkdir(p, 0o755) },
		"huge":      func(p string) error { return truncated(p, 1<<40) },
		"none":      func(string) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			c := chrooted(t, make)
			top, err := Of(context.Background(), c)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(top.Tasks, func(task Task) bool { return task.PID == c.Process.PID })
			if i < 0 || top.Tasks[i].User != "" || top.Tasks[i].ContainerUID == nil || *top.Tasks[i].ContainerUID != 0 {
				t.Errorf("the tasks are %+v, want pid %d, without a name and as uid 0 inside", top.Tasks, c.Process.PID)
			}
		})
	}
}

func truncated(name string, size int64) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Truncate(size)
}

// chrooted starts a process in a root of its own with that /etc/passwd.
func chrooted(t *testing.T, passwd func(string) error) *dockerx.Container {
	t.Helper()
	root := t.TempDir()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Skip("the process is /bin/busybox: ", err)
	}
	for _, dir := range []string{"/etc", "/bin"} {
		if err := os.Mkdir(root+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(root+"/bin/busybox", busybox, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := passwd(root + "/etc/passwd"); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/bin/busybox", "sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	p, err := proc.Open(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return &dockerx.Container{Ref: "pid", Process: p}
}

// TestTopOfHostileCommands: a command line of 100 KB, a name with a newline and
// parentheses, and the use of the CPU while it is watched.
func TestTopOfHostileCommands(t *testing.T) {
	name := t.TempDir() + "/) R 1\n("
	if err := os.Symlink("/bin/sh", name); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(name, "-c", "while :; do :; done", strings.Repeat("\x1b[31m", 20000))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Kill(); cmd.Wait() }()
	p, err := proc.Open(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c := &dockerx.Container{Ref: "pid", Process: p}
	var task Task
	// The kernel counts pages per processor and adds them up now and then.
	await.Until(t, "top sees the loop use the CPU and memory", func() bool {
		task = sampled(t, c)
		return task.Percent > 0 && task.Elapsed > 0 && task.RSS > 0
	})
	if !task.Cut || len(task.Command) != maxCommand || !strings.HasPrefix(task.Command, name+" -c") {
		t.Errorf("%d bytes, cut %v: %.40q", len(task.Command), task.Cut, task.Command)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Of(ctx, c); err == nil {
		t.Error("a cancelled pass goes on")
	}
}

// sampled is what top says of a bare process that it watches for a moment.
func sampled(t *testing.T, c *dockerx.Container) Task {
	t.Helper()
	top, err := Of(context.Background(), c)
	if err == nil {
		err = Sample(context.Background(), 100*time.Millisecond, top.Tasks)
	}
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(top.Tasks, func(task Task) bool { return task.PID == c.Process.PID })
	if i < 0 {
		t.Fatalf("pid %d is not among the tasks %+v", c.Process.PID, top.Tasks)
	}
	return top.Tasks[i]
}
