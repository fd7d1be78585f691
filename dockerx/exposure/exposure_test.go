package exposure

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"dx/dockerx"
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
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	p, err := proc.Open(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	return &dockerx.Container{Ref: "made", Name: "made", Process: p}
}

func ownStatus(t *testing.T) proc.Status {
	t.Helper()
	self, err := proc.Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	own, err := self.Status()
	if err != nil {
		t.Fatal(err)
	}
	return own
}

// TestOfNamespaces: with mnt the command is the container's own program; a user namespace
// in which it is seen is its maker's (user_namespaces(7)); net alone gives nobody anything.
func TestOfNamespaces(t *testing.T) {
	own := ownStatus(t)
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
	if err := OfHostTools(process(t, syscall.CLONE_NEWUSER|syscall.CLONE_NEWPID), ownStatus(t), false); err != nil {
		t.Errorf("a command that the container does not see: %v, want no objection", err)
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
