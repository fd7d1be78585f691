package launch

import (
	"bytes"
	"debug/elf"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/seccomp"
)

var update = flag.Bool("update", false, "write the golden files")

// dockerCaps are a default container's (moby, oci/caps/defaults.go).
var dockerCaps = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// samplePlan has something of everything. Its files are never opened.
func samplePlan() *Plan {
	umask, score := uint32(0o022), 0
	pidfd, root, memory := os.NewFile(90, "pidfd"), os.NewFile(91, "root"), os.NewFile(92, "memory")
	return &Plan{
		Process: &specs.Process{
			Args: []string{"bash", "-l"}, Env: []string{"PATH=/usr/bin:/bin", "TERM=xterm", "HOME=/root"}, Cwd: "/srv",
			User:     specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{1000, 2000}, Umask: &umask},
			Terminal: true, OOMScoreAdj: &score, ApparmorProfile: "docker-default",
			Rlimits:      []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 1024, Hard: unix.RLIM_INFINITY}},
			Capabilities: &specs.LinuxCapabilities{Bounding: dockerCaps, Permitted: dockerCaps, Effective: dockerCaps},
		},
		Joins:   []Join{{nsops.IPC, pidfd}, {nsops.PID, pidfd}, {nsops.Mnt, pidfd}},
		Root:    root,
		Cgroups: []Cgroup{{Name: "memory", Procs: memory}},
		Keyring: "_ses.0123", Kernel: Kernel{LastCap: 40, Faccessat2: true, CloseRange: true},
	}
}

func compiled(t *testing.T, plan *Plan) *Program {
	t.Helper()
	p, err := Compile(plan)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// calls lists the names of the real system calls from the first one called from, but
// for the keeper's own.
func calls(p *Program, from string) []string {
	var names []string
	for _, s := range p.Steps {
		if s.kept == p.kept && s.Nr < opFail && (len(names) > 0 || s.Name == from) {
			names = append(names, s.Name)
		}
	}
	return names
}

func denying(t *testing.T, names ...string) *seccomp.Filter {
	t.Helper()
	eperm := uint(unix.EPERM)
	f, err := seccomp.Compile(&specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Syscalls:      []specs.LinuxSyscall{{Names: append(names, "personality"), Action: specs.ActErrno, ErrnoRet: &eperm}},
	}, seccomp.NativeArch())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// The child is born last, with nothing of the host and under its filter.
func TestChildIsBornClean(t *testing.T) {
	plan := samplePlan()
	plan.Seccomp = denying(t)
	got := calls(compiled(t, plan), "clone")
	if diff := cmp.Diff([]string{"clone", "exit_group", "setsid", "ioctl", "execve"}, got); diff != "" {
		t.Errorf("calls from the birth on (-want +got):\n%s", diff)
	}
	before := index(t, compiled(t, plan), "clone")
	for _, earlier := range []string{"close_range", "seccomp", "capset", "setuid", "madvise"} {
		if at := index(t, compiled(t, plan), earlier); at > before {
			t.Errorf("%s comes after the birth", earlier)
		}
	}
}

func index(t *testing.T, p *Program, name string) int {
	t.Helper()
	at := slices.IndexFunc(p.Steps, func(s *Step) bool { return s.kept == p.kept && s.Name == name })
	if at < 0 {
		t.Fatalf("no %s in the program", name)
	}
	return at
}

// no_new_privs comes after everything that it would hinder, and before the
// filter that needs it (setns_init_linux.go of runc).
func TestNoNewPrivsIsLast(t *testing.T) {
	plan := samplePlan()
	plan.Process.NoNewPrivileges, plan.Seccomp = true, denying(t)
	p := compiled(t, plan)
	nnp := slices.IndexFunc(p.Steps, func(s *Step) bool { return s.Doing == "set no_new_privs" })
	if nnp < index(t, p, "capset") || nnp > index(t, p, "seccomp") {
		t.Errorf("no_new_privs is step %d of %v", nnp, calls(p, "prctl"))
	}
}

func TestUserNamespaceIsJoinedBetween(t *testing.T) {
	plan := samplePlan()
	plan.Joins = append([]Join{{nsops.User, plan.Joins[0].File}}, plan.Joins...)
	p := compiled(t, plan)
	var got []string
	for _, s := range p.Steps {
		switch {
		case s.Name == "setns" && s.Nr == opSet:
			got = append(got, "again "+s.Args[1].String())
		case s.Name == "setns", s.Name == "setresuid":
			got = append(got, s.Name+" "+s.Args[min(1, len(s.Args)-1)].String())
		}
	}
	want := []string{
		"setns CLONE_NEWIPC", "setns CLONE_NEWPID", "setns CLONE_NEWNS", "setns CLONE_NEWUSER", "setresuid 0",
		"again CLONE_NEWIPC", "again CLONE_NEWPID", "again CLONE_NEWNS",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("joins (-want +got):\n%s", diff)
	}
}

// TestRealmIsJoinedFirst: what a plain user's files ask for is done with that user's rights:
// only cgroups, which the kernel tells, are entered before.
func TestRealmIsJoinedFirst(t *testing.T) {
	plan := samplePlan()
	if _, err := Compile(&Plan{Process: plan.Process, Joins: plan.Joins, Kernel: plan.Kernel, Realm: true}); err == nil {
		t.Error("a plain user's namespace need not be joined")
	}
	plan.Joins = append([]Join{{nsops.User, plan.Joins[0].File}}, plan.Joins...)
	plan.Realm = true
	p := compiled(t, plan)
	user := slices.IndexFunc(p.Steps, func(s *Step) bool { return s.Name == "setns" && s.Args[1].text == "CLONE_NEWUSER" })
	for i, s := range p.Steps {
		asks := slices.Contains([]string{"setns", "prlimit64", "chroot", "capset", "seccomp"}, s.Name) || s.Name == "write" && strings.Contains(s.Doing, "OOM")
		if asks && i < user || s.Name == "setns" && s.Nr == opSet {
			t.Errorf("step %d is %s, the user namespace is joined in step %d", i, s, user)
		}
	}
	if p.Steps[user+1].Name != "setresgid" || p.Steps[user+2].Name != "setresuid" {
		t.Errorf("behind the join come %s and %s", p.Steps[user+1], p.Steps[user+2])
	}
}

// TestPlainCaller: a plain user's own files of /proc are closed to him once he is undumpable.
func TestPlainCaller(t *testing.T) {
	plan := samplePlan()
	plan.Joins = append([]Join{{nsops.User, plan.Joins[0].File}}, plan.Joins...)
	plan.Realm, plan.Plain = true, true
	p := compiled(t, plan)
	var order []string
	for _, s := range p.Steps {
		if s.Name == "prctl" && strings.Contains(s.Doing, "undumpable") || s.Name == "openat" || s.Name == "setns" || s.Name == "fchown" {
			order = append(order, s.Name)
		}
	}
	order = slices.Compact(order)
	if want := []string{"prctl", "openat", "prctl", "setns", "fchown", "setns", "prctl"}; !slices.Equal(order, want) {
		t.Errorf("%v, want %v: the keeper hides, files are opened, the program hides", order, want)
	}
}

// What only the caller may have is left behind while nothing can deny it.
func TestCallersOwnIsLeftBeforeTheUserNamespace(t *testing.T) {
	plan := samplePlan()
	plan.Joins = append([]Join{{nsops.User, plan.Joins[0].File}}, plan.Joins...)
	plan.SetgroupsDenied, plan.Keyring = true, ""
	visit := sampleVisit()
	visit.Joins = []Join{{nsops.User, plan.Joins[0].File}}
	visited, err := CompileVisit(visit)
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]*Program{"exec": compiled(t, plan), "visit": visited} {
		user := slices.IndexFunc(p.Steps, func(s *Step) bool { return s.Name == "setns" && s.Args[1].text == "CLONE_NEWUSER" })
		for _, call := range []string{"setgroups(0, 0)", "keyctl(KEYCTL_JOIN_SESSION_KEYRING, 0)"} {
			at := slices.IndexFunc(p.Steps, func(s *Step) bool { return s.String() == call })
			if at < 0 || at > user {
				t.Errorf("%s: %s is step %d, the user namespace is joined in step %d", name, call, at, user)
			}
		}
	}
}

// Who joins no user namespace and asks for it keeps the caller's keyring.
func TestKeyringIsKept(t *testing.T) {
	plan := samplePlan()
	plan.Keyring, plan.KeepKeyring = "", true
	visited, err := CompileVisit(sampleVisit())
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]*Program{"exec": compiled(t, plan), "visit": visited} {
		if slices.Contains(calls(p, "prctl"), "keyctl") {
			t.Errorf("%s: the keyring is left", name)
		}
	}
}

// Nothing comes between the user's ids and being undumpable again.
func TestStaysUndumpable(t *testing.T) {
	p := compiled(t, samplePlan())
	if next := p.Steps[index(t, p, "setuid")+1]; next.String() != "prctl(PR_SET_DUMPABLE, 0)" {
		t.Errorf("behind setuid comes %s", next)
	}
}

func TestSetgroupsIsLeftOutWhereDenied(t *testing.T) {
	plan := samplePlan()
	plan.SetgroupsDenied = true
	if slices.Contains(calls(compiled(t, plan), "prctl"), "setgroups") {
		t.Error("setgroups is called in a user namespace that denies it")
	}
}

func TestCompileRefuses(t *testing.T) {
	tests := map[string]struct {
		change func(*Plan)
		want   string
	}{
		"no command":         {func(p *Plan) { p.Process.Args = nil }, "no command"},
		"NUL in an argument": {func(p *Plan) { p.Process.Args = []string{"a\x00b"} }, `"a\x00b" holds a NUL byte`},
		"NUL in a variable":  {func(p *Plan) { p.Process.Env = []string{"A=\x00"} }, "holds a NUL byte"},
		"unknown capability": {func(p *Plan) { p.Process.Capabilities.Bounding = []string{"CAP_FLY"} }, `unknown capability "CAP_FLY"`},
		"unknown limit":      {func(p *Plan) { p.Process.Rlimits[0].Type = "RLIMIT_X" }, `unknown resource limit "RLIMIT_X"`},
	}
	for name, test := range tests {
		plan := samplePlan()
		test.change(plan)
		if _, err := Compile(plan); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}

// The image is an executable that the standard library can read, and no page of
// it is both writable and executable.
func TestImageIsELF(t *testing.T) {
	f, err := elf.NewFile(bytes.NewReader(compiled(t, samplePlan()).image().bytes()))
	if err != nil {
		t.Fatal(err)
	}
	if f.Type != elf.ET_EXEC || f.Machine != elfMachine || f.Entry != codeBase+codeOffset {
		t.Errorf("header %+v", f.FileHeader)
	}
	for _, p := range f.Progs {
		if p.Flags&elf.PF_W != 0 && p.Flags&elf.PF_X != 0 {
			t.Errorf("segment %+v can be written and executed", p.ProgHeader)
		}
	}
}

// The image of one plan, byte for byte, for each architecture. make generate
// writes the files, for arm64 under qemu-user.
func TestImageGolden(t *testing.T) {
	checkGolden(t, "image_"+runtime.GOARCH+".hex", sparseHex(compiled(t, samplePlan()).image().bytes()))
}

func TestExplainGolden(t *testing.T) {
	var out strings.Builder
	if err := compiled(t, samplePlan()).Explain(&out); err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "explain.txt", out.String())
}

func checkGolden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// sparseHex is a dump of the rows of 16 bytes that are not all zero.
func sparseHex(b []byte) string {
	var out strings.Builder
	for at := 0; at < len(b); at += 16 {
		row := b[at:min(at+16, len(b))]
		if bytes.Count(row, []byte{0}) < len(row) {
			fmt.Fprintf(&out, "%06x  % x\n", at, row)
		}
	}
	fmt.Fprintf(&out, "%06x\n", len(b))
	return out.String()
}
