package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dx/e2e/await"
	"dx/e2e/engine"
)

// topLine is what a line of `dx top --format json` is documented to be.
type topLine struct {
	Container, Name, Engine string
	Pid, ContainerPid, PPid int
	User                    string
	UID                     uint32
	ContainerUID            *uint32
	State                   string
	CPU, Time, Elapsed      float64
	RSS                     uint64
	StartedAt               time.Time
	Via, Command            string
	Cut                     bool
}

// dxTop runs dx top --format json and returns its lines by PID.
func dxTop(t *testing.T, e *engine.Engine, args ...string) map[int]topLine {
	t.Helper()
	r := e.Dx(t, append([]string{"top", "--format", "json"}, args...)...)
	if r.Code != 0 {
		t.Fatalf("dx top %q: %+v", args, r)
	}
	out := map[int]topLine{}
	for _, line := range lines(r.Stdout) {
		dec := json.NewDecoder(strings.NewReader(line))
		dec.DisallowUnknownFields()
		var l topLine
		if err := dec.Decode(&l); err != nil {
			t.Fatalf("dx top %q: %v in %s", args, err, line)
		}
		out[l.Pid] = l
	}
	return out
}

// nsPIDs is the kernel's NSpid.
func nsPIDs(t *testing.T, pid int) []string {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(regexp.MustCompile(`(?m)^NSpid:(.*)$`).FindStringSubmatch(string(b))[1])
}

// isDockerTop compares PID, PPID, RSS and command with ps, as docker top runs it.
func isDockerTop(t *testing.T, e *engine.Engine, c engine.Container, got map[int]topLine) {
	t.Helper()
	created, err := time.Parse(time.RFC3339Nano, inspected(t, e, c.Name, "{{.Created}}"))
	if err != nil {
		t.Fatal(err)
	}
	rows := lines(e.MustDocker(t, "top", c.Name, "-o", "pid,ppid,uid,stat,args").Stdout)[1:]
	if len(rows) != len(got) {
		t.Errorf("%d processes, docker top has\n%s", len(got), strings.Join(rows, "\n"))
	}
	for _, row := range rows {
		f := strings.Fields(row)
		pid, _ := strconv.Atoi(f[0])
		l := got[pid]
		if fmt.Sprint(l.Pid, l.PPid, l.UID) != strings.Join(f[:3], " ") || l.Command != strings.Join(f[4:], " ") || f[3][:1] != l.State {
			t.Errorf("%+v, docker top has %s", l, row)
		}
		inner := nsPIDs(t, pid)
		if fmt.Sprint(l.ContainerPid) != inner[len(inner)-1] {
			t.Errorf("%d is %d inside, the kernel has %v", pid, l.ContainerPid, inner)
		}
		// The kernel counts from the boot, whose time it rounds to seconds.
		if created := created.Add(-2 * time.Second); l.RSS == 0 || l.Elapsed < 0 || l.StartedAt.Before(created) || l.StartedAt.After(time.Now().Add(2*time.Second)) {
			t.Errorf("%+v: want memory in use, and a start after %s, when docker made the container, and before now", l, created)
		}
	}
}

// inside waits for a process that is found by its command line.
func inside(t *testing.T, cmdline string) int {
	t.Helper()
	want := strings.ReplaceAll(cmdline, " ", "\x00") + "\x00"
	found := 0
	await.Until(t, fmt.Sprintf("%q runs", cmdline), func() bool {
		entries, err := os.ReadDir("/proc")
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range entries {
			b, _ := os.ReadFile("/proc/" + entry.Name() + "/cmdline") // it may have ended
			if pid, err := strconv.Atoi(entry.Name()); err == nil && string(b) == want {
				found = pid
			}
		}
		return found != 0
	})
	return found
}

// seconds is an argument for sleep that no other test has.
func seconds() string { return strconv.FormatInt(100000+time.Now().UnixNano()%1e9, 10) }

// joined starts nsenter into a container and ends it after the test.
func joined(t *testing.T, c engine.Container, flags ...string) int {
	t.Helper()
	s := seconds()
	cmd := exec.Command("nsenter", slices.Concat([]string{"-t", strconv.Itoa(c.PID)}, flags, []string{"/bin/sleep", s})...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid := inside(t, "/bin/sleep "+s)
	t.Cleanup(func() {
		if p, err := os.FindProcess(pid); err == nil {
			p.Kill()
		}
		cmd.Wait()
	})
	return pid
}

func TestTopIsDockerTop(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		c := e.Run(t, engine.Busybox)
		child, execed, byDx := seconds(), seconds(), seconds()
		e.MustDocker(t, "exec", "-d", "-u", "app", c.Name, "sh", "-c", "sleep "+child+" & exec sleep "+execed)
		want := map[int]string{c.PID: "init", inside(t, "sleep "+child): "exec", inside(t, "sleep "+execed): "exec"}
		if r := e.Dx(t, "exec", "-d", c.Name, "sleep", byDx); r.Code != 0 {
			t.Fatalf("exec -d of a sleep: %v, want exit code 0", r)
		}
		want[inside(t, "sleep "+byDx)] = "exec"

		for _, source := range []string{"engine", "host"} {
			got := dxTop(t, e, "--source", source, c.ID) // the host may run other engines with that name
			isDockerTop(t, e, c, got)
			for pid, via := range want {
				if got[pid].Via != via || got[pid].Container != c.ID {
					t.Errorf("%d is %+v, want %s", pid, got[pid], via)
				}
			}
			if u := got[inside(t, "sleep "+execed)]; u.User != "app" || *u.ContainerUID != 1000 || got[c.PID].User != "root" {
				t.Errorf("users: %+v", u)
			}
		}

		// Who came by nsenter is no process of docker's.
		withPID, mntOnly := joined(t, c, "-m", "-p"), joined(t, c, "-m")
		got := dxTop(t, e, c.Name)
		inner := nsPIDs(t, withPID)
		if l := got[withPID]; l.Via != "nsenter" || fmt.Sprint(l.ContainerPid) != inner[1] {
			t.Errorf("nsenter -m -p: %+v, NSpid %v", l, inner)
		}
		if l := got[mntOnly]; l.Via != "nsenter" || l.ContainerPid != 0 {
			t.Errorf("nsenter -m: %+v", l)
		}
		if l := got[c.PID]; l.Via != "init" {
			t.Errorf("the init of the container came by %+v, want init", l)
		}
		if _, ok := dxTop(t, e, fmt.Sprintf("pid:%d", c.PID))[withPID]; !ok {
			t.Error("pid:N does not show who joined its namespaces")
		}
	})
}

// TestTopShowsItsOwnOnly: PID namespaces that are not the container's own.
func TestTopShowsItsOwnOnly(t *testing.T) {
	onBoth(t, func(t *testing.T, e *engine.Engine) {
		web := e.Run(t, engine.Busybox)
		host, guest := e.Run(t, engine.Busybox, "--pid", "host"), e.Run(t, engine.Busybox, "--pid", "container:"+web.Name)
		s := seconds()
		e.MustDocker(t, "exec", "-d", host.Name, "sleep", s)
		execed := inside(t, "sleep "+s)
		for _, c := range []engine.Container{web, host, guest} {
			isDockerTop(t, e, c, dxTop(t, e, c.Name))
		}
		if l := dxTop(t, e, host.Name)[execed]; l.Via != "exec" || l.ContainerPid != execed {
			t.Errorf("exec in a container with the host's PIDs: %+v, want a process that came by exec, with the PID %d inside, too", l, execed)
		}
	})
}

func TestTopOfARemappedContainer(t *testing.T) {
	e := suite.Start(t, engine.Options{UsernsRemap: true})
	c := e.Run(t, engine.Busybox, "-u", "app")
	l := dxTop(t, e, c.Name)[c.PID]
	if l.UID != engine.RemapBase+1000 || l.ContainerUID == nil || *l.ContainerUID != 1000 || l.User != "app" {
		t.Errorf("the init is %+v, want uid %d outside, 1000 inside, and the name app", l, engine.RemapBase+1000)
	}
}

func TestTopInOtherForms(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	s := seconds()
	e.MustDocker(t, "exec", "-d", c.Name, "sh", "-c", "sleep "+s+"; :")
	child := inside(t, "sleep "+s)
	if r := e.Dx(t, "top", "-q", c.Name); !slices.Contains(lines(r.Stdout), strconv.Itoa(child)) || len(lines(r.Stdout)) != 3 {
		t.Errorf("-q: %+v", r)
	}
	if r := e.Dx(t, "top", "--tree", "--sort", "rss", c.Name); !strings.Contains(r.Stdout, `\_ sleep `+s) {
		t.Errorf("--tree: %+v", r)
	}
	if r := e.Dx(t, "top", c.Name, fmt.Sprintf("pid:%d", child)); r.Code != 0 || strings.Count(r.Stdout, strconv.Itoa(child)+" ") < 2 || !strings.HasPrefix(r.Stdout, "CONTAINER ") {
		t.Errorf("of two: %+v", r)
	}
	isDockerTopWith(t, e, c)
	if r := e.Dx(t, "top", "--sample", "50ms", "--format", "{{.Pid}} {{.Via}}", c.Name); !strings.Contains(r.Stdout, fmt.Sprint(c.PID, " init\n")) {
		t.Errorf("--format: %+v", r)
	}
	for _, args := range [][]string{{"nosuch"}, {"--sort", "size", c.Name}, {"--sample", "-1s", c.Name}, {}, {"pid:0"}, {c.Name, "-o", "uid"}} {
		if r := e.Dx(t, append([]string{"top"}, args...)...); r.Code == 0 || r.Stdout != "" || r.Stderr == "" {
			t.Errorf("dx top %q: %+v", args, r)
		}
	}
}

// isDockerTopWith compares what options of ps print, and docker's errors.
func isDockerTopWith(t *testing.T, e *engine.Engine, c engine.Container) {
	t.Helper()
	for _, options := range []string{
		"-o pid,ppid,args", "-ef", "axo pid,args", "aux", "-eo pid,user,comm --sort -pid", "m -o pid,tid,comm", "-o uid", "-o nosuch", "-o uid=PID -o pid", "-o pid=PID",
	} {
		args := append([]string{"top", c.Name}, strings.Fields(options)...)
		docker, dx := e.Docker(t, args...), e.Dx(t, args...)
		if docker.Code != 0 {
			want := strings.TrimSpace(strings.TrimPrefix(docker.Stderr, "Error response from daemon: "))
			if dx.Code != docker.Code || dx.Stdout != "" || !strings.HasPrefix(dx.Stderr, "dx: "+want) {
				t.Errorf("top with %s: %v, docker says %v", options, dx, docker)
			}
			continue
		}
		if dx.Code != 0 || steady(dx.Stdout) != steady(docker.Stdout) {
			t.Errorf("top with %s: %v, docker has\n%s", options, dx, docker.Stdout)
		}
	}
}

// steady is a table of ps less what changes from one moment to the next: times, and the use of
// memory and of the processors.
func steady(table string) string {
	var out []string
	var titles []string
	for _, line := range lines(table) {
		f := strings.Fields(line)
		if titles == nil {
			titles = f
		}
		for i := range f {
			if i < len(titles) && slices.Contains([]string{"C", "TIME", "%CPU", "%MEM", "RSS", "VSZ", "STAT"}, titles[i]) {
				f[i] = titles[i]
			}
		}
		out = append(out, strings.Join(f, " "))
	}
	return strings.Join(out, "\n")
}

// TestTopWatch: the table is drawn again where it stands, ctrl-c ends it, and the terminal is as
// it was. Off a terminal it is refused.
func TestTopWatch(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	engine.Require(t, engine.Tmux)
	c := e.Run(t, engine.Busybox)
	s := openScreen(t, e, "before=$(stty -g); "+strings.Join(e.DxArgs(t), " ")+" top --watch --interval 100ms "+c.Name+
		`; echo code $?; [ "$before" = "$(stty -g)" ] && echo same; sleep 1000`)
	s.wait(fmt.Sprintf(`(?s)every 100ms$.*^%d `, c.PID))
	number := seconds()
	e.MustDocker(t, "exec", "-d", c.Name, "sleep", number)
	s.wait(`exec +sleep ` + number + `$`)
	s.keys("C-c")
	s.wait("(?s)code 130$.*^same$")
	if text := s.tmux("capture-pane", "-p", "-S", "-2000").Stdout; strings.Count(text, "every 100ms") != 1 {
		t.Errorf("the tables are below each other:\n%s", text)
	}
}

// TestTopWithNoAnswer: a stopped dockerd.
func TestTopWithNoAnswer(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	c := e.Run(t, engine.Busybox)
	stop(t, e.PID)
	r := timely(t, e, "top", "-q", c.Name)
	if r.Code != 0 || r.Stdout != fmt.Sprintln(c.PID) {
		t.Errorf("top -q beside an engine that does not answer: %v, want pid %d", r, c.PID)
	}
	if r := timely(t, e, "diff", c.Name); r.Code != 0 || r.Stderr == "" {
		t.Errorf("diff beside an engine that does not answer: %v, want the changed files, and why the host was asked", r)
	}
	if r := timely(t, e, "top", c.Name, "-o", "pid"); r.Code != 0 || !strings.Contains(r.Stdout, strconv.Itoa(c.PID)) {
		t.Errorf("top -o pid beside an engine that does not answer: %v, want pid %d", r, c.PID)
	}
	if r := timely(t, e, "who", strconv.Itoa(c.PID)); r.Code != 0 || !strings.Contains(r.Stdout, c.Name) {
		t.Errorf("who beside an engine that does not answer: %v, want %s", r, c.Name)
	}
}
