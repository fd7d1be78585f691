package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/e2e/engine"
)

// filtered are containers whose processes may call different things.
var filtered = []kind{
	{name: "default", execs: [][]string{{}, {"-t", "-u", "app"}}},
	{name: "profile", run: []string{"--security-opt", "seccomp=PROFILE"}, execs: [][]string{{}}},
	{name: "profile-no-new-privileges", run: []string{"--security-opt", "seccomp=PROFILE", "--security-opt", "no-new-privileges"}, execs: [][]string{{"-u", "app"}}},
	{name: "unconfined", run: []string{"--security-opt", "seccomp=unconfined", "--security-opt", "systempaths=unconfined"}, execs: [][]string{{}}},
	{name: "cap-add", run: []string{"--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE"}, execs: [][]string{{}}},
	// These deny calls that dx makes behind the filter, and docker exec before it.
	{name: "tight", run: []string{"--security-opt", "seccomp=TIGHT"}, execs: [][]string{{}, {"-t", "-u", "app"}}},
	{name: "tight-no-new-privileges", run: []string{"--security-opt", "seccomp=TIGHT", "--security-opt", "no-new-privileges"}, execs: [][]string{{}}},
}

// tight is what a profile may deny so that containers still start, and programs in
// Go run.
var tight = []string{"setsid", "ioctl", "faccessat", "madvise"}

// TestNoCallTellsDxFromDocker tries every system call number of every ABI that the
// kernel has, and asks for all that a process can find out by calls only.
func TestNoCallTellsDxFromDocker(t *testing.T) {
	t.Parallel()
	e := suite.Engine(t, engine.Host)
	for _, k := range filtered {
		t.Run(k.name, func(t *testing.T) {
			c := k.start(t, e)
			for _, flags := range k.execs {
				mustAnswerAlike(t, e, c, flags...)
			}
		})
	}
}

// TestTheProberCanFail: the comparison sees that nsenter installs no filter.
func TestTheProberCanFail(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox, mountProber(t)...)
	for _, what := range []string{"calls", "self"} {
		want := withDocker(t, e, c, nil, []string{"/prober", what})
		got := withNsenter(t, e, c, nil, []string{"/prober", what})
		if d := factDifferences(want.Stdout, got.Stdout); len(d) < 3 {
			t.Errorf("prober %s sees only that nsenter differs from docker exec in %v", what, d)
		}
	}
}

// mountProber is the flag of docker run that puts the prober into a container.
func mountProber(t *testing.T) []string {
	t.Helper()
	return []string{"-v", suite.Build(t, "dx/e2e/prober") + ":/prober:ro"}
}

func mustAnswerAlike(t *testing.T, e *engine.Engine, c engine.Container, flags ...string) {
	t.Helper()
	for _, what := range []string{"calls", "self"} {
		want := withDocker(t, e, c, flags, []string{"/prober", what})
		got := withDx(t, e, c, flags, []string{"/prober", what})
		if want.Code != 0 || got.Code != 0 {
			t.Errorf("exec %q prober %s\ndocker: exit %d %s\ndx:     exit %d %s", flags, what, want.Code, want.Stderr, got.Code, got.Stderr)
		}
		for _, d := range factDifferences(want.Stdout, got.Stdout) {
			t.Errorf("exec %q prober %s: %s", flags, what, d)
		}
	}
}

// factDifferences compares lines "name: value".
func factDifferences(want, got string) []string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	var out []string
	for i := range max(len(w), len(g)) {
		if at(w, i) != at(g, i) {
			out = append(out, fmt.Sprintf("docker %s, dx %s", at(w, i), at(g, i)))
		}
	}
	return out
}

// profileJSON is the profile of the tests as docker reads it.
func profileJSON(t *testing.T) string {
	t.Helper()
	b, err := json.Marshal(profile())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// denyingProfile is the file of a profile that denies just these calls.
func denyingProfile(t *testing.T, names []string) string {
	t.Helper()
	b, err := json.Marshal(specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Syscalls:      []specs.LinuxSyscall{{Names: names, Action: specs.ActErrno}},
	})
	if err != nil {
		t.Fatal(err)
	}
	path := t.TempDir() + "/profile.json"
	if err := os.WriteFile(path, b, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// profile allows what it does not name, and answers to what it names in every
// way that does not end the prober.
func profile() *specs.LinuxSeccomp {
	errno := func(n uint) *uint { return &n }
	is := func(arg uint, op specs.LinuxSeccompOperator, value, two uint64) specs.LinuxSeccompArg {
		return specs.LinuxSeccompArg{Index: arg, Op: op, Value: value, ValueTwo: two}
	}
	return &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32},
		Syscalls: []specs.LinuxSyscall{
			{Names: []string{"swapon", "statfs"}, Action: specs.ActErrno, ErrnoRet: errno(77)},
			{Names: []string{"acct"}, Action: specs.ActErrno},
			{Names: []string{"swapoff"}, Action: specs.ActErrno, ErrnoRet: errno(0)},
			{Names: []string{"io_setup"}, Action: specs.ActTrap},
			{Names: []string{"io_destroy"}, Action: specs.ActKillProcess},
			{Names: []string{"umask"}, Action: specs.ActErrno, ErrnoRet: errno(11), Args: []specs.LinuxSeccompArg{is(0, specs.OpEqualTo, 0o77, 0)}},
			{Names: []string{"sched_get_priority_max"}, Action: specs.ActErrno, ErrnoRet: errno(22), Args: []specs.LinuxSeccompArg{is(0, specs.OpGreaterThan, 1, 0)}},
			{Names: []string{"personality"}, Action: specs.ActErrno, ErrnoRet: errno(33), Args: []specs.LinuxSeccompArg{is(0, specs.OpMaskedEqual, 0x20000, 0x20000)}},
			{Names: []string{"socket"}, Action: specs.ActErrno, ErrnoRet: errno(44), Args: []specs.LinuxSeccompArg{is(0, specs.OpEqualTo, 16, 0), is(1, specs.OpEqualTo, 3, 0)}},
			{Names: []string{"no_such_call"}, Action: specs.ActErrno},
		},
	}
}
