package exposure

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dx/dockerx"
	"dx/dockerx/host"
	"dx/e2e/await"
	"dx/e2e/standin"
	"dx/nsops"
	"dx/nsops/proc"
)

// process is a container of one process, in new namespaces of those flags.
func process(t *testing.T, flags uintptr) *dockerx.Container {
	t.Helper()
	cmd := exec.Command("sleep", "100000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
	if flags&syscall.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("this user may make no such namespaces here: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = cmd.Wait() // it is killed
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // the test may have ended it
		<-ended
	})
	p, err := proc.Open(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return &dockerx.Container{Ref: "made", Name: "made", Process: p}
}

// TestOfNamespaces: with mnt the command is the container's own program; a user namespace
// in which it is seen is its maker's (user_namespaces(7)); net alone gives nobody anything.
func TestOfNamespaces(t *testing.T) {
	own := standin.OwnStatus(t)
	sees, apart := process(t, syscall.CLONE_NEWUSER), process(t, syscall.CLONE_NEWUSER|syscall.CLONE_NEWPID)
	for what, c := range map[string]struct {
		of    *dockerx.Container
		joins []nsops.Type
		want  string // in the reason
	}{
		"mnt":                            {apart, []nsops.Type{nsops.Net, nsops.Mnt}, "container's own program"},
		"net":                            {apart, []nsops.Type{nsops.Net}, ""},
		"user, with the host's PIDs":     {sees, []nsops.Type{nsops.User}, "root of the container's user namespace"},
		"user, and the container's PIDs": {apart, []nsops.Type{nsops.User, nsops.PID}, "root of the container's user namespace"},
		"nothing":                        {sees, nil, ""},
	} {
		err := OfNamespaces(c.of, c.joins, own)
		var exposed *Error
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v, want no objection", what, err)
		case c.want != "" && (!errors.As(err, &exposed) || !strings.Contains(exposed.Reason, c.want) || exposed.Container == ""):
			t.Errorf("%s: %v, want a refusal because of %q", what, err, c.want)
		}
	}
}

// TestHostPIDs: the kernel's links are the witness.
func TestHostPIDs(t *testing.T) {
	for flags, want := range map[uintptr]bool{syscall.CLONE_NEWUSER: true, syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID: false} {
		if got, err := HostPIDs(process(t, flags)); err != nil || got != want {
			t.Errorf("a process made with %#x sees the host's: %v, %v, want %v", flags, got, err, want)
		}
	}
}

// TestOfHostTools: who is hidden from the container has nothing to fear from it.
func TestOfHostTools(t *testing.T) {
	if err := OfHostTools(process(t, syscall.CLONE_NEWUSER|syscall.CLONE_NEWPID), standin.OwnStatus(t), false); err != nil {
		t.Errorf("a command that the container does not see: %v, want no objection", err)
	}
}

// inAllNamespaces is a container whose root has these capabilities (setpriv(1)).
func inAllNamespaces(t *testing.T, namespaces uintptr, bounding string) *dockerx.Container {
	t.Helper()
	p := standin.Cat(t, namespaces, "setpriv", "--bounding-set", bounding)
	return &dockerx.Container{Ref: "made", Name: "made", Process: p}
}

// mustRefuse wants a refusal with these words in its reason and in what to do instead;
// without any, no objection.
func mustRefuse(t *testing.T, what string, err error, reason, instead string) {
	t.Helper()
	var exposed *Error
	switch {
	case reason == "" && err != nil:
		t.Errorf("%s: %v, want no objection", what, err)
	case reason != "" && (!errors.As(err, &exposed) || !strings.Contains(exposed.Reason, reason) || !strings.Contains(exposed.Instead, instead)):
		t.Errorf("%s: %+v, want a refusal for %q, with the advice %q", what, err, reason, instead)
	}
}

// TestWhoSeesTheCommand: who has power over the command, and would see it, is named with
// what gives it the power; neither without the other is an objection.
func TestWhoSeesTheCommand(t *testing.T) {
	standin.NeedRoot(t)
	own := standin.OwnStatus(t)
	const apart, hostPIDs = unix.CLONE_NEWPID | unix.CLONE_NEWNS, unix.CLONE_NEWNS
	const weak = "-all,+chown,+kill"
	tracer, most := inAllNamespaces(t, apart, "-all,+sys_ptrace"), inAllNamespaces(t, apart, "-sys_ptrace")
	unable := inAllNamespaces(t, apart, weak)
	all := inAllNamespaces(t, apart, "+chown")
	named := fmt.Sprintf("its process %d (cat) has ", all.Process.PID)
	pid := []nsops.Type{nsops.PID}
	mustRefuse(t, "PIDs of all rights", OfNamespaces(all, pid, own), named, "")
	mustRefuse(t, "PIDs of few rights", OfNamespaces(unable, pid, own), "", "")
	mustRefuse(t, "PIDs with that right alone", OfNamespaces(tracer, pid, own), "has CAP_SYS_PTRACE", "")
	reason := "" // where dx's root has that right itself
	if own.CapBnd&(1<<unix.CAP_SYS_RESOURCE) != 0 {
		reason = "has CAP_SYS_RESOURCE"
	}
	mustRefuse(t, "PIDs with all but that right", OfNamespaces(most, pid, own), reason, "")
	mustRefuse(t, "net and IPC of all rights", OfNamespaces(all, []nsops.Type{nsops.Net, nsops.IPC}, own), "", "")
	mustRefuse(t, "host tools, PIDs shared", OfHostTools(all, own, true), named, "--share-pid=false hides")
	mustRefuse(t, "host tools, PIDs not shared", OfHostTools(all, own, false), "", "")
	mustRefuse(t, "host tools, PIDs shared with few rights", OfHostTools(unable, own, true), "", "")

	sees, weakSees := inAllNamespaces(t, hostPIDs, "+chown"), inAllNamespaces(t, hostPIDs, weak)
	named = fmt.Sprintf("its process %d (cat) has ", sees.Process.PID)
	for _, joins := range []bool{true, false} {
		mustRefuse(t, "host tools, the host's PIDs", OfHostTools(sees, own, joins), named, "--share-pid=false does not help")
		mustRefuse(t, "host tools, the host's PIDs and few rights", OfHostTools(weakSees, own, joins), "", "")
	}

	second := standin.Cat(t, 0, "nsenter", "--pid", "--target", strconv.Itoa(all.Process.PID))
	standin.Child(t, second)
	mustRefuse(t, "one more in its PIDs", OfNamespaces(all, pid, own), "(and 1 more)", "")
	standin.End(t, all.Process)
	if err := OfNamespaces(all, pid, own); !errors.Is(err, proc.ErrGone) {
		t.Errorf("one that has ended: %v", err)
	}
	if err := OfHostTools(all, own, true); !errors.Is(err, proc.ErrGone) {
		t.Errorf("host tools beside one that has ended: %v", err)
	}
}

// TestUserNamespaceIsItsMakers: who has made it has all capabilities in it, and so has
// the root of a container that sees the host's processes (user_namespaces(7)).
func TestUserNamespaceIsItsMakers(t *testing.T) {
	standin.NeedRoot(t)
	own, user := standin.OwnStatus(t), []nsops.Type{nsops.User, nsops.Net}
	id := standin.ID(t, "6a01")
	dir := standin.Cgroup(t, id)[0]
	dxs := process(t, syscall.CLONE_NEWUSER|syscall.CLONE_NEWPID)
	anothers := &dockerx.Container{Ref: "made", Name: "made", Process: standin.Child(t, standin.Cat(t, 0,
		"setpriv", "--reuid", strconv.Itoa(standin.Nobody), "--clear-groups", "unshare", "--user", "--pid", "--fork", "--kill-child"))}

	// Tests beside this one make processes that see the host's: for as long as they do,
	// that is the reason.
	says := func(of *dockerx.Container, want string) {
		t.Helper()
		await.Until(t, fmt.Sprintf("the user namespace is refused for %q", want), func() bool {
			err := OfNamespaces(of, user, own)
			return want == "" && err == nil || err != nil && want != "" && strings.Contains(err.Error(), want)
		})
	}
	if pid, _, err := host.WithHostPIDs(); err != nil || pid == 0 {
		says(dxs, "")
		says(anothers, "the command would be in a user namespace of uid 65534's: its maker has power over the command")
	}
	guest := standin.Cat(t, syscall.CLONE_NEWNS)
	standin.Enter(t, dir, guest)
	mustRefuse(t, "beside a container with the host's PIDs", OfNamespaces(dxs, user, own), " sees the host's processes, and the command among them", "")
	standin.End(t, dxs.Process)
	if err := OfNamespaces(dxs, user, own); !errors.Is(err, proc.ErrGone) {
		t.Errorf("one that has ended: %v", err)
	}
}

// TestErrorSaysHow: the way to the host is named, the usual one if there is no other.
func TestErrorSaysHow(t *testing.T) {
	for how, want := range map[string]string{"": "web: r: " + throughRoot, "so": "web: r: so"} {
		if got := (&Error{Container: "web", Reason: "r", How: how}).Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
