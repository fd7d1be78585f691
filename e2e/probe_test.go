package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// probe prints all that a process can see of itself, in sections. It reads the
// files of the shell ($$), which is the process that exec started. A file that
// it may not read shows as an error message, alike for docker and dx. The status is
// read before anything is forked: shells that wait have signals blocked. The shell has
// the pipe to tr open until it has started that: settle waits for it.
const probe = `
while IFS= read -r l; do status="$status$l
"; done </proc/$$/status
cd / 2>/dev/null
settle() { n=0; while [ -e /proc/$$/fd/3 ] && [ $n -lt 500 ]; do n=$((n+1)); sleep 0.02; done; }
s() { echo "== $1"; }
{
s status; echo "$status"
for f in limits oom_score_adj cgroup loginuid personality timerslack_ns coredump_filter cmdline environ mountinfo attr/current sched stat; do
	s $f; cat /proc/$$/$f
done
s links; stat -c %N /proc/$$/ns/* /proc/$$/root /proc/$$/exe
s fd; settle; stat -c %N /proc/$$/fd/*; grep flags /proc/$$/fdinfo/*
s owner; stat -L -c '%u:%g %a' /proc/$$/fd/0 /proc/$$/fd/1 /proc/$$/fd/2
s umask; umask
s id; id
s self; [ ! -e /prober ] || /prober self
s end
} 2>&1 | tr '\0' '\n'
`

// statVaries is which fields of proc_pid_stat(5) differ from run to run, and why.
// All other fields must be equal.
var statVaries = map[int]string{
	3: "running or sleeping", 10: "minor faults", 11: "minor faults of children", 12: "major faults", 13: "major faults of children",
	14: "time used", 15: "time used", 16: "time used by children", 17: "time used by children",
	22: "start time", 32: "signals blocked: all, while the shell forks; status has them", 23: "memory in use", 24: "memory in use",
	26: "address space layout", 27: "address space layout", 28: "address space layout", 29: "where it runs now", 30: "where it runs now",
	35: "where it waits", 39: "CPU it ran on", 42: "delay", 44: "guest time",
	45: "address space layout", 46: "address space layout", 47: "address space layout", 48: "address space layout",
	49: "address space layout", 50: "address space layout", 51: "address space layout",
}

// Lines of /proc/PID/status and /proc/PID/sched that vary from run to run.
var lineVaries = regexp.MustCompile(`^(State|Tgid|Pid|PPid|NStgid|NSpid|NSpgid|NSsid|Ngid|Vm\w+|Rss\w+|HugetlbPages|\w*ctxt_switches|SigQ)\b` +
	`|^(se\.|sum_|nr_|avg_|clock-delta|mm->|numa_|dl\.|sh \(|current_node|total_numa|core_forceidle|ext\.|-{10})`)

// normalise replaces in a section what cannot be equal in two runs.
func normalise(section, line string) string {
	switch section {
	case "status", "sched":
		if lineVaries.MatchString(line) {
			return ""
		}
	case "stat":
		return normaliseStat(line)
	case "fd":
		return normaliseFd(line)
	case "mountinfo":
		return cgroup2Options.ReplaceAllString(line, "$1")
	}
	return line
}

// normaliseFd: each run has pipes of its own and the next free terminal. runc 1.1
// opens the terminal by its path, which sets O_LARGEFILE; dx, as later ones, with
// TIOCGPTPEER, which keeps the O_CLOEXEC of that call in view.
func normaliseFd(line string) string {
	line = inode.ReplaceAllString(line, "$1:[N]")
	line = pts.ReplaceAllString(line, "/dev/pts/N")
	return ptyFlags.ReplaceAllString(line, "${1}2")
}

// cgroup2Options belong to the hierarchy, of which there is one: each container that
// mounts it from the host's cgroup namespace sets them for all.
var cgroup2Options = regexp.MustCompile(`( - cgroup2 \S+ rw)(,nsdelegate|,memory_recursiveprot)*$`)

var (
	pts      = regexp.MustCompile(`/dev/pts/\d+`)
	ptyFlags = regexp.MustCompile(`(flags:\s+)(0100002|02000002)$`)
)

var inode = regexp.MustCompile(`\b(pipe|socket):\[\d+\]`)

// normaliseStat keeps of the ids only which of them are the process's own PID
// (process group, session, foreground group), and of the parent only whether it
// is inside the PID namespace.
func normaliseStat(line string) string {
	f := strings.Fields(line)
	if len(f) < 52 {
		return line
	}
	for n := range statVaries {
		f[n-1] = "*"
	}
	pid := f[0]
	for _, n := range []int{1, 5, 6, 8} {
		if f[n-1] == pid {
			f[n-1] = "SELF"
		}
	}
	if tty, err := strconv.Atoi(f[6]); err == nil {
		f[6] = fmt.Sprint("tty of major ", tty>>8) // which terminal is free differs
	}
	if flags, err := strconv.Atoi(f[8]); err == nil {
		f[8] = fmt.Sprintf("%#x", flags&^superPriv)
	}
	if f[3] != "0" {
		f[3] = "OUTSIDE"
	}
	return strings.Join(f, " ")
}

// superPriv is PF_SUPERPRIV: a capability was used since fork(2). runc sets a
// process up after its fork; dx before, so that it never has a right to use.
const superPriv = 0x100

var ownDir = regexp.MustCompile(`/proc/\d+/`)

// sections splits a probe's output.
func sections(out string) map[string][]string {
	got := map[string][]string{}
	name := "output"
	for _, line := range strings.Split(strings.TrimRight(out, "\n"), "\n") {
		line = strings.TrimSuffix(line, "\r") // with -t
		if n, ok := strings.CutPrefix(line, "== "); ok {
			name = n
			got[name] = nil
			continue
		}
		line = ownDir.ReplaceAllString(line, "/proc/SELF/")
		if line = normalise(name, line); line != "" {
			got[name] = append(got[name], line)
		}
	}
	return got
}

// differences compares two outputs of the probe, line by line.
func differences(want, got string) []string {
	w, g := sections(want), sections(got)
	var out []string
	for name := range w {
		if !slices.Equal(w[name], g[name]) {
			out = append(out, describe(name, w[name], g[name])...)
		}
	}
	for name := range g {
		if _, ok := w[name]; !ok {
			out = append(out, name+": not in docker's output")
		}
	}
	slices.Sort(out)
	return out
}

func describe(name string, want, got []string) []string {
	var out []string
	for i := range max(len(want), len(got)) {
		w, g := at(want, i), at(got, i)
		if w != g {
			out = append(out, fmt.Sprintf("%s line %d\n    docker: %s\n    dx:     %s", name, i+1, w, g))
		}
	}
	return out
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(nothing)"
}

// program is a way to execute something in a container: docker, dx, or one that
// is known to be wrong.
type program func(t testing.TB, e *engine.Engine, c engine.Container, flags, command []string) engine.Result

func withDocker(t testing.TB, e *engine.Engine, c engine.Container, flags, command []string) engine.Result {
	return e.Docker(t, slices.Concat([]string{"exec"}, flags, []string{c.Name}, command)...)
}

func withDx(t testing.TB, e *engine.Engine, c engine.Container, flags, command []string) engine.Result {
	return e.Dx(t, slices.Concat([]string{"exec"}, flags, []string{c.Name}, command)...)
}

// withNsenter is what people use today; it ignores flags, as it has no such. The
// caller has a file open, as callers do, and nsenter hands it on.
func withNsenter(t testing.TB, e *engine.Engine, c engine.Container, _, command []string) engine.Result {
	nsenter := []string{"sh", "-c", `exec nsenter -a -t "$0" -- "$@" 9</dev/null`, fmt.Sprint(c.PID)}
	return e.Do(t, engine.Command{Args: slices.Concat(nsenter, command)})
}

// mustMatch runs the probe by docker and by the candidate and reports what differs.
func mustMatch(t *testing.T, e *engine.Engine, c engine.Container, flags ...string) {
	t.Helper()
	for _, d := range compare(t, e, c, withDx, flags) {
		t.Error(d)
	}
}

// mostCut is how often docker exec may lose the end of what was said, which it does with -t
// on a busy machine.
const mostCut = 5

func compare(t *testing.T, e *engine.Engine, c engine.Container, candidate program, flags []string) []string {
	t.Helper()
	command := []string{"sh", "-c", probe}
	want := withDocker(t, e, c, flags, command)
	for n := 1; want.Code == 0 && !strings.Contains(want.Stdout, "\n== end") && n < mostCut; n++ {
		want = withDocker(t, e, c, flags, command)
	}
	if want.Code != 0 {
		t.Fatalf("docker exec %q: exit %d: %s%s", flags, want.Code, want.Stdout, want.Stderr)
	}
	got := candidate(t, e, c, flags, command)
	out := differences(want.Stdout, got.Stdout)
	if want.Code != got.Code || want.Stderr != got.Stderr {
		out = append(out, fmt.Sprintf("docker: exit %d, stderr %q\ndx:     exit %d, stderr %q", want.Code, want.Stderr, got.Code, got.Stderr))
	}
	return out
}
