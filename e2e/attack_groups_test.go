package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/engine"
)

// What dx's caller has and a namespace keeps a process from giving up again:
// supplementary groups (CVE-2022-36109, CVE-2022-2990), a group that the user
// namespace does not map, keys.

// rootWithGroups calls dx as root's login on most distributions does, and more.
var rootWithGroups = []string{"setpriv", "--groups", "0,6,42", "--"}

// plainUser is a user of the host without any right.
var plainUser = []string{"setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", "--reset-env", "--"}

// userNamespace starts a process of a plain user in a user namespace of his, and
// writes its maps as far as he wants them.
func userNamespace(t *testing.T, maps [][2]string, flags ...string) int {
	t.Helper()
	cmd := exec.Command(plainUser[0], slices.Concat(plainUser[1:], []string{"unshare", "-U"}, flags, []string{"sh", "-c", "echo $$; exec sleep 100000"})...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatalf("unshare -U %q does not start: %v", flags, err)
	}
	for _, m := range maps {
		r := hostRun(t, append(slices.Clone(plainUser), "sh", "-c", fmt.Sprintf("echo %s >/proc/%d/%s", m[1], cmd.Process.Pid, m[0]))...)
		if r.Code != 0 {
			t.Fatalf("%s: %+v", m[0], r)
		}
	}
	return cmd.Process.Pid
}

// groupSecret is a file that only a group of the host may read.
func groupSecret(t *testing.T, gid int) string {
	t.Helper()
	path := secretDirectory(t) + "/secret"
	if err := os.Chown(path, 12345, gid); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o040); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAttackGroups(t *testing.T) {
	engine.Require(t, engine.Root)
	mapped := userNamespace(t, [][2]string{{"uid_map", "0 54321 1"}, {"setgroups", "deny"}, {"gid_map", "0 54321 1"}}, "-m")
	noGroup := userNamespace(t, [][2]string{{"uid_map", "0 54321 1"}}, "-m")
	for _, target := range []int{mapped, noGroup} {
		pid := "pid:" + strconv.Itoa(target)
		for _, gid := range []int{0, 6, 42} {
			path := groupSecret(t, gid)
			for _, form := range [][]string{
				{"exec", "--ignore-caller-limits", pid}, {"exec", "--ns", "user,mnt", "--expose-host", pid}, {"exec", "--ns", "user", "--expose-host", pid},
				{"debug", "--ignore-caller-limits", pid},
			} {
				r := hostRun(t, slices.Concat(rootWithGroups, []string{suite.Dx(t)}, form, []string{"cat", path})...)
				if strings.Contains(r.Stdout, hostSecret) {
					t.Errorf("dx %q reads what is group %d's: %+v", form, gid, r)
				}
			}
		}
	}
}

// TestAttackGroupsOfAnInitThatLeft: the container's init has moved to a user
// namespace that denies setgroups. The command is not in that one, and docker
// exec's has the container's groups.
func TestAttackGroupsOfAnInitThatLeft(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	name := e.Name("c")
	r := e.Docker(t, "run", "-d", "--name", name, "--security-opt", "seccomp=unconfined", engine.Busybox,
		"sh", "-c", "exec unshare -U -r sleep 100000")
	if r.Code != 0 {
		t.Fatalf("docker run: %+v", r)
	}
	t.Cleanup(func() {
		if r := e.Docker(t, "rm", "-f", name); r.Code != 0 {
			t.Errorf("docker rm: %+v", r)
		}
	})
	eventually(t, "init has left", func() bool {
		r := e.Docker(t, "exec", name, "cat", "/proc/1/setgroups")
		return r.Stdout == "deny\n"
	})
	for _, flags := range [][]string{{}, {"-u", "app"}} {
		want := e.Docker(t, slices.Concat([]string{"exec"}, flags, []string{name, "grep", "-E", "Uid|Gid|Groups", "/proc/self/status"})...)
		got := e.Do(t, engine.Command{Args: slices.Concat(rootWithGroups, e.DxArgs(t), []string{"exec"}, flags, []string{name, "grep", "-E", "Uid|Gid|Groups", "/proc/self/status"})})
		if got != want || want.Code != 0 {
			t.Errorf("%v: docker %+v\ndx     %+v", flags, want, got)
		}
	}
}

// TestAttackKeys: the caller's session keyring goes to no container.
func TestAttackKeys(t *testing.T) {
	engine.Require(t, engine.Root)
	keys := suite.Build(t, "dx/e2e/attacker/keys")
	target := userNamespace(t, nil, "-r", "-m")
	runtime.LockOSThread() // for good: a keyring is a thread's, and its children inherit it
	if _, err := unix.KeyctlJoinSessionKeyring("dx-e2e"); err != nil {
		t.Skipf("no keyrings here: %v", err)
	}
	if _, err := unix.AddKey("user", "dx-e2e-key", []byte(hostSecret), unix.KEY_SPEC_SESSION_KEYRING); err != nil {
		t.Fatal(err)
	}
	if r := hostRun(t, keys, "dx-e2e-key"); r.Stdout != hostSecret {
		t.Fatalf("a child does not have the key: %+v", r)
	}
	pid := "pid:" + strconv.Itoa(target)
	for _, form := range [][]string{{"exec", "--ignore-caller-limits", pid}, {"debug", "--ignore-caller-limits", pid}, {"exec", "--ns", "user", "--expose-host", pid}, {"exec", "--ns", "user,mnt", "--expose-host", pid}} {
		if r := hostRun(t, slices.Concat([]string{suite.Dx(t)}, form, []string{keys, "dx-e2e-key"})...); strings.Contains(r.Stdout, hostSecret) {
			t.Errorf("dx %q hands on the caller's keys: %+v", form, r)
		}
	}
}
