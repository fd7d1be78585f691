package host

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/await"
	"dx/e2e/standin"
	"dx/nsops/proc"
)

// Each of these tests breaks one rule at a time: a process that breaks two would be
// refused without either of them.

// shimProgram copies cat and calls it like containerd's shim.
func shimProgram(t *testing.T) string {
	t.Helper()
	cat, err := exec.LookPath("cat")
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(cat)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for _, d := range []string{filepath.Dir(dir), dir} { // any user may run it
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join(dir, "containerd-shim-runc-v2")
	if err := errors.Join(os.WriteFile(file, b, 0o755), os.Chmod(file, 0o755)); err != nil { // whatever the umask
		t.Fatal(err)
	}
	return file
}

// TestTrustRefusesByOneRule: root's program with a shim's name is believed, and is not
// as soon as one thing about it is another's.
func TestTrustRefusesByOneRule(t *testing.T) {
	standin.NeedRoot(t)
	for name, c := range map[string]struct {
		change func(t *testing.T, cmd *exec.Cmd)
		reason string // empty: it is believed
	}{
		"nothing": {func(*testing.T, *exec.Cmd) {}, ""},
		"user": {func(_ *testing.T, cmd *exec.Cmd) {
			cmd.SysProcAttr.Credential = &syscall.Credential{Uid: standin.Nobody, Gid: standin.Nobody}
		}, "it runs as uid 65534"},
		"effective user": {func(_ *testing.T, cmd *exec.Cmd) {
			by(cmd, "setpriv", "--euid", "65534", "--clear-groups")
		}, "its uids are 0, 65534, 65534 and 65534"},
		"real user": {func(_ *testing.T, cmd *exec.Cmd) {
			by(cmd, "setpriv", "--ruid", "65534", "--clear-groups")
		}, "it runs as uid 65534"},
		"owner of the program": {func(t *testing.T, cmd *exec.Cmd) {
			if err := os.Chown(cmd.Path, standin.Nobody, standin.Nobody); err != nil {
				t.Fatal(err)
			}
		}, "its program is a file of uid 65534"},
		"user namespace": {func(_ *testing.T, cmd *exec.Cmd) {
			root := []syscall.SysProcIDMap{{Size: 1}}
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER, UidMappings: root, GidMappings: root}
		}, "it is in another user namespace"},
		"PID namespace": {func(_ *testing.T, cmd *exec.Cmd) {
			cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWPID
		}, "it is in another PID namespace"},
		"mount namespace": {func(_ *testing.T, cmd *exec.Cmd) { // as systemd gives one to containerd
			cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
		}, ""},
		"mount namespace, without the right to run containers": {func(_ *testing.T, cmd *exec.Cmd) {
			cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
			by(cmd, "setpriv", "--bounding-set", "-sys_admin")
		}, "it is root in another mount namespace without CAP_SYS_ADMIN, as a container's processes are"},
		"mount namespace, with no right but that": {func(_ *testing.T, cmd *exec.Cmd) {
			cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNS
			by(cmd, "setpriv", "--bounding-set", "-all,+sys_admin")
		}, ""},
		"that right, in dx's mount namespace": {func(_ *testing.T, cmd *exec.Cmd) {
			by(cmd, "setpriv", "--bounding-set", "-sys_admin")
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(shimProgram(t))
			cmd.SysProcAttr = &syscall.SysProcAttr{}
			c.change(t, cmd)
			p := standin.Start(t, cmd)
			mustSay(t, shimDoubt(ownTrustOf(t), p), c.reason)
			if got := ownTrustOf(t).Host(p); got != (c.reason == "") {
				t.Errorf("Host: %v", got)
			}
		})
	}
}

// by has a command run by another one, which becomes it.
func by(cmd *exec.Cmd, args ...string) {
	if file, err := exec.LookPath(args[0]); err == nil {
		cmd.Args, cmd.Path = append(args, cmd.Path), file
	}
}

func ownTrustOf(t *testing.T) Trust {
	t.Helper()
	trust, err := NewTrust()
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

// mustSay wants a disbelief for this reason alone; none if it is empty.
func shimDoubt(trust Trust, p *proc.Process) error {
	return trust.Shim(p, webID)
}

func mustSay(t *testing.T, err error, reason string) {
	t.Helper()
	var not *DisbeliefError
	switch {
	case reason == "" && err != nil:
		t.Errorf("%v, want it believed", err)
	case reason != "" && (!errors.As(err, &not) || not.Reason != reason):
		t.Errorf("%v, want it refused as %q", err, reason)
	}
}

// TestTrustWantsAllIDs: each of the four uids has to be the same one of root's or dx's.
func TestTrustWantsAllIDs(t *testing.T) {
	user := Trust{uid: 1000}
	for _, c := range []struct {
		trust Trust
		uids  [4]uint32
		ok    bool
	}{
		{Trust{}, [4]uint32{0, 0, 0, 0}, true},
		{Trust{}, [4]uint32{1000, 1000, 1000, 1000}, false},
		{Trust{}, [4]uint32{1000, 0, 0, 0}, false},
		{Trust{}, [4]uint32{0, 1000, 0, 0}, false},
		{Trust{}, [4]uint32{0, 0, 1000, 0}, false},
		{Trust{}, [4]uint32{0, 0, 0, 1000}, false},
		{user, [4]uint32{0, 0, 0, 0}, true},
		{user, [4]uint32{1000, 1000, 1000, 1000}, true},
		{user, [4]uint32{1000, 0, 0, 0}, false},
		{user, [4]uint32{1001, 1001, 1001, 1001}, false},
	} {
		if reason := c.trust.doubtIDs(c.uids); (reason == "") != c.ok {
			t.Errorf("dx of uid %d, a process of uids %v: %q, want it believed: %v", c.trust.uid, c.uids, reason, c.ok)
		}
	}
}

// TestTrustRefusesWhoHasEnded: it is not believed, and its claim to be a shim is no more
// worth a warning.
func TestTrustRefusesWhoHasEnded(t *testing.T) {
	cmd := exec.Command("cat")
	p := standin.Start(t, cmd)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // "signal: killed"
	if err := shimDoubt(ownTrustOf(t), p); !IsGone(err) {
		t.Errorf("Shim of a process that has ended: %v", err)
	}
	for name, err := range map[string]error{
		"Cgroup":      ownTrustOf(t).Cgroup(p, webID),
		"CgroupNamed": ownTrustOf(t).CgroupNamed(p, webID),
	} {
		var not *DisbeliefError
		if !errors.As(err, &not) || !strings.HasPrefix(not.Reason, "it cannot be looked at") {
			t.Errorf("%s of a process that has ended: %v", name, err)
		}
	}
}

// inCgroup starts a process in new namespaces and in a cgroup.
func inCgroup(t *testing.T, dir string, namespaces uintptr) *proc.Process {
	t.Helper()
	enter := fmt.Sprintf("echo 0 >%s/cgroup.procs && exec %s", dir, shimProgram(t))
	cmd := exec.Command("/bin/sh", "-c", enter)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	return standin.Start(t, cmd)
}

// Who is about to be gone makes no claim that one would have to be warned of.
func TestTrustDoubtsNoZombie(t *testing.T) {
	cmd := exec.Command("true")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Wait() })
	p, err := proc.OpenDir(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	await.Until(t, "true has ended", func() bool { st, err := p.Stat(); return err == nil && st.Dead() })
	err = ownTrustOf(t).Shim(p, webID)
	var disbelief *DisbeliefError
	if err == nil || errors.As(err, &disbelief) {
		t.Errorf("%v", err)
	}
}

// TestTrustRefusesContainers: who is in a container's cgroup is no shim of the host's,
// unless it shares dx's mount namespace, or dx is in that container.
func TestTrustRefusesContainers(t *testing.T) {
	standin.NeedRoot(t)
	id := standin.ID(t, "c0de")
	dir := standin.Cgroup(t, "docker-"+id+".scope")[0]
	away, here := inCgroup(t, dir, unix.CLONE_NEWNS), inCgroup(t, dir, 0)
	trust := ownTrustOf(t)
	mustSay(t, shimDoubt(trust, away), "it is in the cgroup of container "+id[:12])
	mustSay(t, shimDoubt(trust, here), "")
	want := fmt.Sprintf("pid %d claims to be the shim of %s, but it is in the cgroup of container %s: not believed", away.PID, webID[:12], id[:12])
	if err := trust.Shim(away, webID); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	trust.own = at(id)
	mustSay(t, shimDoubt(trust, away), "")
	outside := exec.Command(shimProgram(t))
	outside.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS}
	mustSay(t, shimDoubt(trust, standin.Start(t, outside)), "")
}

// TestTrustKnowsItsOwnContainer: where dx runs in a container, that is no other one.
func TestTrustKnowsItsOwnContainer(t *testing.T) {
	const inner = "DX_TEST_OWN_CONTAINER"
	if os.Getenv(inner) != "" {
		fmt.Println("own:" + ownTrustOf(t).here().id)
		return
	}
	standin.NeedRoot(t)
	id := standin.ID(t, "c3de")
	dir := standin.Cgroup(t, id)[0]
	test := fmt.Sprintf("echo 0 >%s/cgroup.procs && exec %q -test.run '^%s$'", dir, os.Args[0], t.Name())
	cmd := exec.Command("/bin/sh", "-c", test)
	cmd.Env = append(os.Environ(), inner+"=1")
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "own:"+id) {
		t.Errorf("in the cgroup of %s: %v\n%s", id, err, out)
	}
}

// TestCgroupOfTheHidden: who may not see a process's namespaces may not enter them
// either; its cgroup is then all that is asked.
func TestCgroupOfTheHidden(t *testing.T) {
	p, err := proc.Open(1)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Readlink("ns/pid"); !errors.Is(err, fs.ErrPermission) {
		t.Skip("nothing is hidden from this user")
	}
	mustSay(t, ownTrustOf(t).Cgroup(p, webID), "the container's cgroup is not mounted here")
}

// TestCgroupProves: a cgroup that is the only proof has to be root's, outside of other
// containers' and called after this one; its process has left dx's namespaces.
func TestCgroupProves(t *testing.T) {
	standin.NeedRoot(t)
	id, other := standin.ID(t, "c1de"), standin.ID(t, "c2de")
	own := standin.Cgroup(t, id)[0]
	const all = unix.CLONE_NEWPID | unix.CLONE_NEWNS
	whole := inCgroup(t, own, all)
	trust := ownTrustOf(t)

	mustSay(t, trust.Cgroup(whole, id), "")
	mustSay(t, trust.CgroupNamed(whole, id), "")
	mustSay(t, trust.Cgroup(whole, other), "the container's cgroup is not mounted here")
	const inMount = "it is in dx's own mount namespace and no shim serves it"
	hostMounts := inCgroup(t, own, unix.CLONE_NEWPID)
	mustSay(t, trust.Cgroup(hostMounts, id), inMount)
	mustSay(t, trust.CgroupNamed(hostMounts, id), inMount)
	hostPIDs := inCgroup(t, own, unix.CLONE_NEWNS)
	mustSay(t, trust.Cgroup(hostPIDs, id), "it is in dx's own PID namespace and no shim serves it")
	mustSay(t, trust.CgroupNamed(hostPIDs, id), "")

	nested := inCgroup(t, standin.Cgroup(t, other, id)[1], all)
	mustSay(t, trust.Cgroup(nested, id), "the container's cgroup is not mounted here")
	mustSay(t, trust.Cgroup(nested, other), "")
	within := trust
	within.own = at(other)
	mustSay(t, within.Cgroup(nested, id), "")

	// A user may have one delegated, or be let into it.
	for mode, reason := range map[os.FileMode]string{
		0o775: "others than its owner may write to that cgroup (mode 775)",
		0o757: "others than its owner may write to that cgroup (mode 757)",
		0o755: "",
	} {
		standin.Must(t, os.Chmod(own, mode))
		mustSay(t, trust.Cgroup(whole, id), reason)
	}
	standin.Must(t, os.Chmod(own, 0o775))
	standin.Must(t, os.Chown(own, standin.Nobody, standin.Nobody))
	mustSay(t, trust.Cgroup(whole, id), "that cgroup belongs to uid 65534")
}

// TestTrustedDirectory: a directory counts if nobody but root, or dx's own user, can
// make anything in it.
func TestTrustedDirectory(t *testing.T) {
	own := uint32(os.Geteuid())
	for _, c := range []struct {
		uid, mode uint32
		want      bool
	}{
		{0, 0o755, true}, {own, 0o700, true}, {own, 0o711, true},
		{own + 1, 0o755, false}, {own, 0o775, false}, {own, 0o757, false}, {own, 0o777 | unix.S_ISVTX, false},
	} {
		if got := trusted(&unix.Stat_t{Uid: c.uid, Mode: unix.S_IFDIR | c.mode}); got != c.want {
			t.Errorf("a directory of uid %d, mode %o: %v, want %v", c.uid, c.mode, got, c.want)
		}
	}
}

// TestDisbeliefIsSaid: who is refused, what for and what it claimed.
func TestDisbeliefIsSaid(t *testing.T) {
	for want, err := range map[string]*DisbeliefError{
		"pid 7 is not believed: it runs as uid 1000":                              {PID: 7, Reason: "it runs as uid 1000"},
		"pid 7 claims to be the shim of x, but it runs as uid 1000: not believed": {PID: 7, Claim: "claims to be the shim of x", Reason: "it runs as uid 1000"},
	} {
		if err.Error() != want {
			t.Errorf("%q, want %q", err.Error(), want)
		}
	}
	if short(webID) != webID[:12] || short("a-name-of-some-length") != "a-name-of-some-length" {
		t.Errorf("short: %s and %s", short(webID), short("a-name-of-some-length"))
	}
}
