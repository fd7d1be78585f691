package host

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/standin"
	"dx/nsops/proc"
)

// TestWhoSeesTheHost: who is in a container with the host's PIDs, by its cgroup; where that
// bears no ID, by a root of its own and rights that can never be the host's root's. One of
// these without the others is no container.
func TestWhoSeesTheHost(t *testing.T) {
	standin.NeedRoot(t)
	id := standin.ID(t, "a001")
	dir := standin.Cgroup(t, id)[0]
	named := standin.Cat(t, unix.CLONE_NEWNS)
	standin.Enter(t, dir, named)
	trust := ownTrustOf(t)
	within := trust
	within.own = at(id)
	const bounded, whole = "-sys_admin,-sys_ptrace", "+chown"
	mustBe := func(what string, trust Trust, p *proc.Process, wantID string, want bool) {
		t.Helper()
		if id, contained, err := trust.containerOf(p.PID); err != nil || id != wantID || contained != want {
			t.Errorf("%s: %q, contained %v, %v; want %q, %v", what, id, contained, err, wantID, want)
		}
	}
	mustBe("in a container's cgroup", trust, named, id, true)
	mustBe("in that of dx's own", within, named, id, false)
	confined := standin.Cat(t, unix.CLONE_NEWNS, "setpriv", "--bounding-set", bounded)
	mustBe("a service that is confined", trust, confined, "", false)
	mustBe("bounded, in dx's mounts", trust, standin.Cat(t, 0, "setpriv", "--bounding-set", bounded), "", false)
	if _, err := os.Readlink("/bin"); err == nil { // else /usr is no root
		mustBe("with a root of its own and no rights", trust, rooted(t, bounded), "", true)
		mustBe("with a root of its own and all rights", trust, rooted(t, whole), "", false)
		mustBe("with a root of its own and one of the rights", trust, rooted(t, "-sys_admin"), "", false)
	}
	if pid, _, err := WithHostPIDs(); err != nil || pid == 0 {
		t.Errorf("pid %d, %v, want one of those", pid, err)
	}
	standin.End(t, named)
	if _, _, err := trust.containerOf(named.PID); err == nil {
		t.Error("one that has ended is somebody's")
	}
}

// rooted runs cat in /usr as its root.
func rooted(t *testing.T, bounding string) *proc.Process {
	t.Helper()
	root := t.TempDir()
	cmd := exec.Command("sh", "-ec", fmt.Sprintf("mount --make-rprivate /; mount --bind /usr %s; exec chroot %s setpriv --bounding-set %s cat", root, root, bounding))
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	return standin.Start(t, cmd)
}
