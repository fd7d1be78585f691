package launch

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dx/nsops/seccomp"
)

// lying is a filter that answers in the kernel's place that some calls succeeded. It
// allows them to one who asks beforehand, as it seems: a call that comes from nowhere.
func lying(t *testing.T, calls ...uint32) *seccomp.Filter {
	t.Helper()
	const offNr, offIP = 0, 8
	program := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offIP},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: 0, Jt: uint8(2*len(calls) + 1)},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offNr},
	}
	for _, nr := range calls {
		program = append(program,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: nr, Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO})
	}
	program = append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	f, err := seccomp.NewFilter(program, seccomp.NativeArch())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// everything that makes a process another, and that a shell can do without.
var everything = []uint32{
	unix.SYS_SETGROUPS, unix.SYS_SETGID, unix.SYS_SETUID, unix.SYS_CAPSET, unix.SYS_PRCTL,
	unix.SYS_SECCOMP, unix.SYS_CHDIR, unix.SYS_SETSID, unix.SYS_CLONE, unix.SYS_FACCESSAT,
}

// Filters that somebody made for a process of his own take nothing away from what the
// command must lose.
func TestFiltersDoNotLie(t *testing.T) {
	needRoot(t)
	p := unshared(t, "--pid", "--mount-proc")
	for _, nnp := range []bool{false, true} {
		plan := planFor(t, p, "sh", "-c", "exec cat /proc/self/status")
		few := []string{"CAP_CHOWN", "CAP_KILL"}
		plan.Process.User = specs.User{UID: 77, GID: 88, AdditionalGids: []uint32{99}}
		plan.Process.Capabilities = &specs.LinuxCapabilities{Bounding: few, Permitted: few, Effective: few, Inheritable: few, Ambient: few}
		plan.Process.NoNewPrivileges = nnp
		plan.Filters = seccomp.Filters{lying(t), lying(t, everything...), lying(t, everything...)}
		plan.Seccomp, plan.FilterKey = acting(t, specs.ActErrno), seccomp.NewKey()
		out, status, err := runPlan(t, plan)
		if err != nil || status != 0 {
			t.Fatalf("no_new_privs %v: status %#x, %v\n%s", nnp, status, err, out)
		}
		for _, want := range []string{
			"Uid:\t77\t77\t77\t77\n", "Gid:\t88\t88\t88\t88\n", "Groups:\t99 \n", "CapInh:\t0000000000000021\n", "CapPrm:\t0000000000000021\n",
			"CapEff:\t0000000000000021\n", "CapBnd:\t0000000000000021\n", "CapAmb:\t0000000000000021\n",
			"NoNewPrivs:\t" + map[bool]string{true: "1", false: "0"}[nnp] + "\n", "Seccomp:\t2\n", "Seccomp_filters:\t4\n",
		} {
			if !strings.Contains(out, want) {
				t.Errorf("no_new_privs %v: no %q in\n%s", nnp, want, out)
			}
		}
	}
}

// A filter that says that the command runs is not believed.
func TestFilterKeepsTheCommandFromRunning(t *testing.T) {
	needRoot(t)
	plan := planFor(t, unshared(t, "--pid"), "true")
	plan.Filters, plan.FilterKey = seccomp.Filters{lying(t, unix.SYS_EXECVE)}, seccomp.NewKey()
	_, _, err := runPlan(t, plan)
	var step *StepError
	if !errors.As(err, &step) || step.Step.Stage != StageExec || step.Errno != unix.EPERM {
		t.Errorf("%v, want that execve is denied", err)
	}
}

// What filters of unknown origin could falsify comes before them, or with the key.
func TestFiltersComeLate(t *testing.T) {
	for _, nnp := range []bool{false, true} {
		plan := samplePlan()
		plan.Filters, plan.Seccomp, plan.FilterKey = seccomp.Filters{lying(t), lying(t)}, acting(t, specs.ActErrno), testKey
		plan.Process.NoNewPrivileges = nnp
		p := compiled(t, plan)
		first := index(t, p, "seccomp")
		for _, s := range p.Steps[first+1:] {
			if s.Nr < opFail && s.Name != "execve" && !strings.Contains(s.String(), ", KEY") {
				t.Errorf("no_new_privs %v: a filter can answer to %s", nnp, s)
			}
		}
		got := slices.DeleteFunc(calls(p, "seccomp"), func(name string) bool { return name == "" })
		want := []string{"seccomp", "seccomp", "seccomp", "capset", "clone", "exit_group", "setsid", "ioctl", "execve"}
		if nnp {
			want = slices.DeleteFunc(want, func(name string) bool { return name == "capset" })
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("no_new_privs %v: calls from the filters on (-want +got):\n%s", nnp, diff)
		}
	}
}
