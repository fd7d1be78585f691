package launch

import (
	"errors"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// What the caller has is undone while P is still the host's, and nothing else is
// touched.
func TestLeftoversAreShed(t *testing.T) {
	plan := samplePlan()
	plain := compiled(t, plan)
	plan.Shed.Leftovers = slices.Concat(leftovers, machineLeftovers)
	p := compiled(t, plan)
	if more := len(p.Steps) - len(plain.Steps); more != len(plan.Shed.Leftovers) {
		t.Errorf("%d more steps for %d leftovers", more, len(plan.Shed.Leftovers))
	}
	join := index(t, p, "setns")
	for _, want := range []string{
		"prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0)", "prctl(PR_SET_MEMORY_MERGE, 0, 0, 0, 0)", "prctl(PR_SET_IO_FLUSHER, 0, 0, 0, 0)",
		"prctl(PR_MCE_KILL, PR_MCE_KILL_SET, PR_MCE_KILL_DEFAULT, 0, 0)",
		"prctl(PR_SET_SPECULATION_CTRL, PR_SPEC_L1D_FLUSH, PR_SPEC_DISABLE, 0, 0)",
		"keyctl(KEYCTL_SET_REQKEY_KEYRING, KEY_REQKEY_DEFL_DEFAULT)", "set_mempolicy(MPOL_DEFAULT, 0, 0)",
	} {
		at := slices.IndexFunc(p.Steps, func(s *Step) bool { return s.String() == want })
		if at < 0 || at > join {
			t.Errorf("%s is step %d, namespaces are joined from %d on", want, at, join)
		}
	}
}

func TestWhatNobodyCanUndoIsAnError(t *testing.T) {
	plan := samplePlan()
	plan.Process.Capabilities = nil
	plan.Shed.Forever = []string{"a reason"}
	var caller *CallerError
	if err := plan.CheckCaller(proc.Status{}); !errors.As(err, &caller) || !slices.Equal(caller.Reasons, plan.Shed.Forever) {
		t.Errorf("%v, want the reason", err)
	}
}

// What dx's caller has left open is not the command's, on kernels without close_range either.
func TestInheritedIsClosed(t *testing.T) {
	needRoot(t)
	const inherited = 200
	if err := unix.Dup2(int(devNull(t).Fd()), inherited); err != nil { // without FD_CLOEXEC
		t.Fatal(err)
	}
	defer unix.Close(inherited)
	for _, closeRange := range []bool{true, false} {
		plan := planFor(t, unshared(t, "--pid", "--mount-proc"), "ls", "/proc/self/fd")
		plan.Kernel.CloseRange = closeRange
		if got := mustRun(t, plan); got != "0\n1\n2\n3\n" { // 3 is that directory
			t.Errorf("with close_range %v the command has the files %q", closeRange, got)
		}
	}
}
