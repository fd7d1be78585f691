package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"dx/e2e/await"
	"dx/e2e/engine"
)

// row is one line of the table in docs/engines.md: a container of an engine's, and how that
// engine itself is asked.
type row struct {
	engine, with string   // as the table has them: "Podman, root's", "podman 4.3.1"
	refs         []string // what means it; the first is what dx ps calls it
	id           string
	pid          int
	exec         func(flags []string) engine.Result // its own exec of whatExecGives
	sets         [][]string                         // of flags; none: it has no exec of its own
	monitor      int                                // 0: nobody keeps it
	daemons      []int                              // none: it has none
	orphan       [][]string                         // sets of flags once the monitor is dead; nil: the container ends with it
	forgotten    bool                               // it does not, and nothing of root's tells of it then
}

// tableEnv names the file to which the cells of the table go.
const tableEnv = "DX_TEST_TABLE"

// notApplicable is a cell where there is nothing to be done.
const notApplicable = "–"

func (r *row) cell(t *testing.T, column, text string) {
	t.Helper()
	file := os.Getenv(tableEnv)
	if file == "" {
		return
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintf(f, "%s\t%s\t%s\t%s\n", r.engine, r.with, column, text); err != nil {
		t.Fatal(err)
	}
}

// check is one cell: Y if the test passes.
func (r *row) check(t *testing.T, column string, test func(*testing.T)) {
	t.Helper()
	text := "N"
	if t.Run(column, test) {
		text = "Y"
	}
	r.cell(t, column, text)
}

// walk does with the container all that the table tells of, the deaths last.
func (r *row) walk(t *testing.T, e *engine.Engine) {
	t.Helper()
	ref := r.refs[0]
	given := map[string]engine.Result{} // what its own exec gave before anything was stopped
	for _, flags := range r.sets {
		given[fmt.Sprint(flags)] = r.exec(flags)
	}
	own := func(flags []string) engine.Result { return given[fmt.Sprint(flags)] }
	same := func(sets ...[]string) func(*testing.T) {
		if len(r.sets) == 0 {
			return func(t *testing.T) { r.enters(t, e) }
		}
		return func(t *testing.T) { sameExec(t, e, ref, own, sets...) }
	}
	r.check(t, "ps", func(t *testing.T) { r.listed(t, e) })
	r.check(t, "name", func(t *testing.T) { wantPID(t, e, r.pid, r.refs...) })
	r.check(t, "ID", func(t *testing.T) { r.byID(t, e) })
	r.check(t, "exec", same(r.sets...))
	r.check(t, "-it", func(t *testing.T) {
		engine.Require(t, engine.Tmux)
		openScreen(t, e, e.DxPath(t)+" exec -it "+ref+` /bin/sh -c '/bin/busybox stty size; exec /bin/busybox sleep 4242'; echo code=$?; sleep 4242`).wait(`^30 100$`)
	})
	r.check(t, "ns", func(t *testing.T) { r.namespaces(t, e) })
	r.check(t, "top", func(t *testing.T) { r.processes(t, e) })
	r.check(t, "inspect", func(t *testing.T) {
		if got := e.Dx(t, "inspect", "--format", "{{.Pid}} {{.Name}}", ref); got.Stdout != fmt.Sprintf("%d %s\n", r.pid, ref) && got.Stdout != fmt.Sprintf("%d %s\n", r.pid, r.refs[len(r.refs)-1]) {
			t.Errorf("inspect: %v", got)
		}
	})
	r.check(t, "who", func(t *testing.T) {
		if got := e.Dx(t, "who", "--format", "{{.Name}}", strconv.Itoa(r.pid)); strings.TrimSpace(got.Stdout) != ref {
			t.Errorf("who %d: %v, want %s", r.pid, got, ref)
		}
	})
	r.check(t, "debug", func(t *testing.T) {
		want := e.Do(t, engine.Command{Args: []string{"nsenter", "-t", strconv.Itoa(r.pid), "-u", "uname", "-n"}})
		if got := e.Dx(t, "debug", ref, "uname", "-n"); got.Code != 0 || got.Stdout != want.Stdout {
			t.Errorf("debug: %v, want %v", got, want)
		}
	})
	r.faults(t, e, same)
}

// faults are those of the monitor and the daemon.
func (r *row) faults(t *testing.T, e *engine.Engine, same func(...[]string) func(*testing.T)) {
	t.Helper()
	listed := func(then func(*testing.T)) func(*testing.T) {
		return func(t *testing.T) {
			r.listed(t, e)
			then(t)
		}
	}
	if r.monitor == 0 {
		r.cell(t, "monitor frozen", notApplicable)
	} else {
		frozen(t, []int{r.monitor}, func() { r.check(t, "monitor frozen", listed(same(r.sets...))) })
	}
	if len(r.daemons) == 0 {
		r.cell(t, "daemon frozen", notApplicable)
		r.cell(t, "daemon killed", notApplicable)
	} else {
		frozen(t, r.daemons, func() { r.check(t, "daemon frozen", listed(same(r.sets...))) })
		for _, pid := range r.daemons { // of which one may take the other with it
			_ = syscall.Kill(pid, syscall.SIGKILL)
			eventually(t, "a daemon is gone", func() bool { return syscall.Kill(pid, 0) != nil })
		}
		r.check(t, "daemon killed", listed(same(r.sets[:min(1, len(r.sets))]...)))
	}
	if r.monitor == 0 {
		r.cell(t, "monitor killed", notApplicable)
		return
	}
	kill(t, r.monitor)
	if r.orphan == nil {
		if r.forgotten {
			r.cell(t, "monitor killed", "N")
			return
		}
		eventually(t, "the container has ended with its monitor", func() bool { return syscall.Kill(r.pid, 0) != nil })
		r.cell(t, "monitor killed", notApplicable)
		return
	}
	r.check(t, "monitor killed", listed(same(r.orphan...)))
}

// enters wants a command in the container's namespaces, with the rights of its init.
func (r *row) enters(t *testing.T, e *engine.Engine) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.pid))
	if err != nil {
		t.Fatal(err)
	}
	got := e.Dx(t, "exec", r.refs[0], "/bin/busybox", "cat", "/proc/self/status")
	if want := posture(string(status)); got.Code != 0 || posture(got.Stdout) != want {
		t.Errorf("exec: %v, want the rights\n%s", got, want)
	}
	link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/mnt", r.pid))
	in := e.Dx(t, "exec", r.refs[0], "/bin/busybox", "readlink", "/proc/self/ns/mnt")
	if err != nil || strings.TrimSpace(in.Stdout) != link {
		t.Errorf("exec is not in %s (%v): %v", link, err, in)
	}
}

// frozen stops processes while something is looked at.
func frozen(t *testing.T, pids []int, look func()) {
	t.Helper()
	for _, pid := range pids {
		defer func() { _ = syscall.Kill(pid, syscall.SIGCONT) }()
		await.Stop(t, pid)
	}
	look()
}

// listed wants one line of dx ps with the container's process, called as it should be.
func (r *row) listed(t *testing.T, e *engine.Engine) {
	t.Helper()
	list := e.Dx(t, "ps", "--no-trunc", "--format", "{{.Pid}} {{.Name}} {{.ID}}")
	var rows []string
	for _, l := range lines(list.Stdout) {
		if strings.HasPrefix(l, strconv.Itoa(r.pid)+" ") {
			rows = append(rows, l)
		}
	}
	if want := fmt.Sprintf("%d %s %s", r.pid, r.refs[0], r.id); len(rows) != 1 || rows[0] != want {
		t.Errorf("ps lists %q, want %q once: %v", rows, want, list)
	}
}

// byID wants the container by its ID, and by a beginning where IDs have such.
func (r *row) byID(t *testing.T, e *engine.Engine) {
	t.Helper()
	wantPID(t, e, r.pid, r.id)
	if len(r.id) == 64 {
		wantPID(t, e, r.pid, r.id[:12])
	}
}

func (r *row) namespaces(t *testing.T, e *engine.Engine) {
	t.Helper()
	got := e.Dx(t, "ns", "--format", "json", r.refs[0])
	var record struct {
		Namespaces []struct {
			Type  string
			Inode uint64
		}
	}
	if err := json.Unmarshal([]byte(got.Stdout), &record); err != nil || len(record.Namespaces) != 8 {
		t.Fatalf("ns: %v %v", err, got)
	}
	for _, ns := range record.Namespaces {
		link, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", r.pid, ns.Type))
		if want := fmt.Sprintf("%s:[%d]", ns.Type, ns.Inode); err != nil || link != want {
			t.Errorf("ns says %s, the kernel %s %v", want, link, err)
		}
	}
}

// processes wants those of the container's PID namespace, which it has for itself.
func (r *row) processes(t *testing.T, e *engine.Engine) {
	t.Helper()
	own, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", r.pid))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range all {
		if link, err := os.Readlink(dir + "/ns/pid"); err == nil && link == own {
			want = append(want, filepath.Base(dir))
		}
	}
	slices.Sort(want)
	r2 := e.Dx(t, "top", "--format", "{{.Pid}}", r.refs[0])
	got := lines(r2.Stdout)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("top: %v, want %q", r2, want)
	}
}

// versionOf is the first line that a program prints of its version.
func versionOf(t *testing.T, e *engine.Engine, program string) string {
	t.Helper()
	r := e.Do(t, engine.Command{Args: []string{program, "--version"}})
	line, _, _ := strings.Cut(r.Stdout, "\n")
	var out []string
	for _, word := range strings.Fields(line) { // "containerd github.com/… 1.6.20~ds1 …"
		word = strings.Trim(word, ",()")
		if strings.ContainsAny(word, "0123456789") && strings.Contains(word, ".") && !strings.Contains(word, "/") {
			out = append(out, strings.TrimPrefix(word, "v"))
			break
		}
	}
	return filepath.Base(program) + " " + strings.Join(out, "")
}
