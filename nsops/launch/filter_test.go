package launch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dx/nsops/seccomp"
)

var testKey = seccomp.Key{0x0101010102020202, 0x0303030304040404, 0x0505050506060606}

// ownCalls are those of dx's own that come behind a filter.
var ownCalls = []string{"faccessat", "prctl", "clone", "exit_group", "setsid", "ioctl", "madvise"}

// deniedSets are denied together: nothing, each of them, all.
func deniedSets() [][]string {
	sets := [][]string{nil, ownCalls}
	for _, name := range ownCalls {
		sets = append(sets, []string{name})
	}
	return sets
}

// acting is a filter that takes an action for some calls and allows the others.
func acting(t *testing.T, action specs.LinuxSeccompAction, names ...string) *seccomp.Filter {
	t.Helper()
	f, err := seccomp.Compile(&specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Syscalls:      []specs.LinuxSyscall{{Names: append([]string{"swapon"}, names...), Action: action}},
	}, seccomp.NativeArch())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// Whatever the filter denies, the child is born last and under it, and what needs
// no filter was before.
func TestThereIsOneOrder(t *testing.T) {
	for _, nnp := range []bool{false, true} {
		for _, denied := range deniedSets() {
			plan := samplePlan()
			plan.Seccomp, plan.FilterKey = denying(t, denied...), testKey
			plan.Process.NoNewPrivileges = nnp
			p := compiled(t, plan)
			if diff := cmp.Diff([]string{"clone", "exit_group", "setsid", "ioctl", "execve"}, calls(p, "clone")); diff != "" {
				t.Errorf("%v denied, no_new_privs %v: calls from the birth on (-want +got):\n%s", denied, nnp, diff)
			}
			filter := index(t, p, "seccomp")
			if filter > index(t, p, "clone") || index(t, p, "madvise") > filter || (index(t, p, "capset") < filter) != nnp {
				t.Errorf("%v denied, no_new_privs %v: the order is %v", denied, nnp, calls(p, "prctl"))
			}
		}
	}
}

// installed is the filter that a program installs.
func installed(t *testing.T, p *Program) *seccomp.Filter {
	t.Helper()
	var program []unix.SockFilter
	for b := p.Steps[index(t, p, "seccomp")].Args[2].words[1].data; len(b) > 0; b = b[8:] {
		program = append(program, unix.SockFilter{Code: binary.NativeEndian.Uint16(b), Jt: b[2], Jf: b[3], K: binary.NativeEndian.Uint32(b[4:])})
	}
	f, err := seccomp.NewFilter(program, seccomp.NativeArch())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func values(s *Step) []uint64 {
	var list []uint64
	for _, a := range s.Args {
		list = append(list, a.value)
	}
	return list
}

// dx's own steps get through, with the key only, and no other filter is installed
// than is needed for that.
func TestFilterIsPassedWithTheKey(t *testing.T) {
	for _, denied := range deniedSets() {
		plan := samplePlan()
		plan.Seccomp, plan.FilterKey = denying(t, denied...), testKey
		p := compiled(t, plan)
		f := installed(t, p)
		excepted := slices.ContainsFunc(denied, func(name string) bool { return name != "madvise" })
		if !excepted && !slices.Equal(f.Program, plan.Seccomp.Program) {
			t.Errorf("%v denied: another filter is installed", denied)
		}
		if (p.key == seccomp.Key{}) == excepted {
			t.Errorf("%v denied: the program's key is %#x", denied, p.key)
		}
		for _, s := range p.Steps[index(t, p, "seccomp")+1:] {
			if s.own && !f.Allows(int(s.Nr), values(s)...) {
				t.Errorf("%v denied: %s does not get through", denied, s)
			}
			if bare := values(s); s.own && slices.Contains(denied, s.Name) && f.Allows(int(s.Nr), bare[:min(len(bare), keyed)]...) {
				t.Errorf("%v denied: %s gets through without the key", denied, s)
			}
			if !s.own && strings.Contains(s.String(), ", KEY") {
				t.Errorf("%v denied: %s has the key", denied, s)
			}
		}
	}
}

func TestFilterNeedsAKey(t *testing.T) {
	plan := samplePlan()
	plan.Seccomp = denying(t, "clone", "setsid")
	if _, err := Compile(plan); err == nil || !strings.Contains(err.Error(), "denies clone, setsid") {
		t.Errorf("without a key: %v", err)
	}
}

// What a runtime calls under the filter as well is denied to both.
func TestFilterKeepsWhatARuntimeCalls(t *testing.T) {
	for _, name := range []string{"chdir", "setgroups", "setgid", "setuid", "getcwd", "capset", "execve"} {
		plan := samplePlan()
		plan.Seccomp, plan.FilterKey = denying(t, name), testKey
		p := compiled(t, plan)
		s := p.Steps[index(t, p, name)]
		if installed(t, p).Allows(int(s.Nr), values(s)...) {
			t.Errorf("%s gets through a filter that denies it", s)
		}
	}
}

func TestFilterExplained(t *testing.T) {
	plan := samplePlan()
	plan.Seccomp, plan.FilterKey = denying(t, "clone", "setsid"), testKey
	var out strings.Builder
	if err := compiled(t, plan).Explain(&out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"install the seccomp filter, which lets clone, setsid of these steps through by a key (Seccomp)",
		"clone(CLONE_PARENT|CLONE_VFORK|CLONE_PARENT_SETTID|SIGCHLD, 0, &REPORT.child, KEY, KEY, KEY)", "setsid(0, 0, 0, KEY, KEY, KEY)",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
	if strings.Contains(out.String(), fmt.Sprint(testKey[0])) {
		t.Error("the key itself is shown")
	}
}

// The kernel takes such filters: commands run, and failures are reported.
func TestStartUnderAFilterThatDenies(t *testing.T) {
	needRoot(t)
	p := unshared(t, "--pid", "--mount-proc")
	for _, action := range []specs.LinuxSeccompAction{specs.ActErrno, specs.ActKillProcess, specs.ActTrap} {
		for _, nnp := range []bool{false, true} {
			for _, denied := range deniedSets() {
				if !nnp { // runc's calls of prctl come behind the filter then, and are denied
					denied = slices.DeleteFunc(slices.Clone(denied), func(name string) bool { return name == "prctl" })
				}
				// A command's own end may need exit_group; a shell's kill does not.
				plan := planFor(t, p, "sh", "-c", "kill -9 $$")
				plan.Process.NoNewPrivileges = nnp
				plan.Seccomp, plan.FilterKey = acting(t, action, denied...), seccomp.NewKey()
				_, status, err := runPlan(t, plan)
				if err != nil || !status.Signaled() {
					t.Errorf("%s of %v, no_new_privs %v: status %#x, %v", action, denied, nnp, status, err)
				}
				plan.Process.Terminal = true
				var step *StepError
				if _, _, err = runPlan(t, plan); !errors.As(err, &step) || step.Errno != unix.ENOTTY {
					t.Errorf("%s of %v, no_new_privs %v: without a terminal %v", action, denied, nnp, err)
				}
			}
		}
	}
}

// A filter's answer does not pass for the kernel's: the directory is outside.
func TestFilterDoesNotVouchForTheDirectory(t *testing.T) {
	needRoot(t)
	p := unshared(t, "--mount")
	answer := func(errno unix.Errno, names ...string) *seccomp.Filter {
		ret := uint(errno)
		f, err := seccomp.Compile(&specs.LinuxSeccomp{
			DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{{Names: names, Action: specs.ActErrno, ErrnoRet: &ret}},
		}, seccomp.NativeArch())
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for name, f := range map[string]*seccomp.Filter{
		"faccessat is EACCES": answer(unix.EACCES, "faccessat"), "faccessat is ENOENT": answer(unix.ENOENT, "faccessat"),
		"faccessat succeeds": answer(0, "faccessat"), "getcwd succeeds": answer(0, "getcwd"), "both": answer(0, "getcwd", "faccessat"),
	} {
		plan := planFor(t, p, "true")
		plan.Seccomp, plan.FilterKey = f, seccomp.NewKey()
		plan.Process.Cwd = fmt.Sprintf("/proc/%d/root/etc", os.Getpid())
		var step *StepError
		if _, _, err := runPlan(t, plan); !errors.As(err, &step) || step.Step.Stage != StageCwd {
			t.Errorf("%s: %v", name, err)
		}
	}
}
