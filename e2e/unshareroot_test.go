package e2e

import (
	"bufio"
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"dx/e2e/engine"
	"dx/e2e/world"
)

// busyboxRoot unpacks the tests' image into a directory that everybody may enter.
func busyboxRoot(t *testing.T) string {
	t.Helper()
	engine.Require(t, engine.Root, engine.Dockerd)
	dir, err := os.MkdirTemp("", "dxr-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	var archive bytes.Buffer
	if err := engine.Rootfs(&archive); err != nil {
		t.Fatal(err)
	}
	tar := exec.Command("tar", "-x", "-C", dir)
	tar.Stdin = &archive
	if out, err := tar.CombinedOutput(); err != nil {
		t.Fatalf("tar: %v: %s", err, out)
	}
	for _, d := range []string{"dev", "proc"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestUnshareRoot: a directory becomes a container, the host keeps its mounts, and
// the directory its files.
func TestUnshareRoot(t *testing.T) {
	const look = `awk '{for (i=7; i<=NF; i++) if ($i == "-") print $5, $(i+1)}' /proc/self/mountinfo | grep -v '^/dev/[nzfrut]'; ls -a /dev | tr '\n' ' '; echo
		echo x >/dev/null && head -c4 /dev/urandom | wc -c; stat -c '%F %t:%T %a' /dev/null /dev/tty; echo $$; echo /proc/[0-9]*; ls /.. | tr '\n' ' '; pwd; hostname; umask; cat /dev/fd/0`
	for name, caller := range callers {
		t.Run(name, func(t *testing.T) {
			dir := busyboxRoot(t)
			files := hostRun(t, "find", dir, "-printf", "%p %m %T@\n").Stdout
			mounts := hostRun(t, "cat", "/proc/self/mountinfo").Stdout
			top := strings.ReplaceAll(hostRun(t, "sh", "-c", "LC_ALL=C ls "+dir).Stdout, "\n", " ")
			r := hostRun(t, slices.Concat(caller, []string{"env", "PATH=/bin:/usr/bin:" + os.Getenv("PATH"), suite.Dx(t), "unshare",
				"-r", "--pid", "--net", "--ipc", "--mount-proc", "--root", dir, "--hostname", "box", "sh", "-c", look})...)
			want := "/ ext4\n"
			if i := strings.IndexByte(r.Stdout, '\n'); i > 0 {
				want = r.Stdout[:i+1] // the directory's own filesystem is what it is
			}
			want += "/dev tmpfs\n/dev/pts devpts\n/dev/shm tmpfs\n/proc proc\n" +
				". .. fd full null ptmx pts random shm stderr stdin stdout tty urandom zero \n" +
				"4\ncharacter special file 1:3 666\ncharacter special file 5:0 666\n1\n/proc/1\n" + top + "/\nbox\n0022\n"
			if r.Code != 0 || r.Stdout != want {
				t.Errorf("got %+v\nwant %s", r, want)
			}
			if after := hostRun(t, "find", dir, "-printf", "%p %m %T@\n").Stdout; after != files {
				t.Errorf("the directory was %s\nand is %s", files, after)
			}
			if after := hostRun(t, "cat", "/proc/self/mountinfo").Stdout; after != mounts {
				t.Errorf("the host's mounts were %s\nand are %s", mounts, after)
			}
		})
	}
}

// unshared starts dx unshare with a command that says "ready", and returns the
// PID of that command.
func startUnshared(t *testing.T, flags ...string) int {
	t.Helper()
	cmd := exec.Command(suite.Dx(t), slices.Concat([]string{"unshare", "--kill-child"}, flags, []string{"sh", "-c", "echo ready; exec sleep 1000"})...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("dx unshare %q does not start: %q", flags, line)
	}
	// By its name: a deputy of dx's may not have been waited for yet.
	pid := 0
	eventually(t, "the command sleeps", func() bool {
		pid, err = strconv.Atoi(strings.TrimSpace(hostRun(t, "pgrep", "-x", "-P", strconv.Itoa(cmd.Process.Pid), "sleep").Stdout))
		return err == nil
	})
	return pid
}

// TestUnsharedIsAContainer: dx ns and dx exec work on what dx unshare made.
func TestUnsharedIsAContainer(t *testing.T) {
	dir := busyboxRoot(t)
	t.Setenv("PATH", "/bin:/usr/bin:"+os.Getenv("PATH"))
	pid := startUnshared(t, "--pid", "--net", "--uts", "--ipc", "--mount-proc", "--root", dir, "--hostname", "box")
	ref := "pid:" + strconv.Itoa(pid)
	e := suite.Engine(t, engine.Host)
	for _, ns := range dxNs(t, e, ref)[0].Namespaces {
		if want := kernelInode(t, pid, ns.Type); ns.Inode != want {
			t.Errorf("%s: %d, the kernel says %d", ns.Type, ns.Inode, want)
		}
		own := slices.Contains([]string{"mnt", "pid", "net", "uts", "ipc"}, ns.Type)
		if ns.Shared == own {
			t.Errorf("%s: shared with the host: %v", ns.Type, ns.Shared)
		}
	}
	const look = "hostname; ls /; for n in /proc/self/ns/*; do readlink $n; done | sort -u; cat /proc/net/dev; cat /proc/1/cmdline; id -u"
	want := hostRun(t, "nsenter", "-a", "-t", strconv.Itoa(pid), "sh", "-c", look)
	if got := hostRun(t, suite.Dx(t), "exec", ref, "sh", "-c", look); got != want || !strings.Contains(want.Stdout, "net:[") {
		t.Errorf("nsenter: %v\ndx exec: %v\nwant the same, with namespaces", want, got)
	}
}

// debootstrapEnv names a directory with a root of debootstrap's, for who has one.
const debootstrapEnv = "DX_TEST_DEBOOTSTRAP"

// debianRoot is a root by debootstrap: its first stage, which unpacks all of the
// programs. The second would only configure them, for minutes on a busy machine.
func debianRoot(t *testing.T) string {
	t.Helper()
	if dir := os.Getenv(debootstrapEnv); dir != "" {
		return dir
	}
	engine.Require(t, engine.Root, engine.Debootstrap)
	dir := filepath.Join(t.TempDir(), "root")
	args := []string{"timeout", "600", "debootstrap", "--foreign", "--variant=minbase", "stable", dir}
	if world.Inside() { // the packages come from outside
		args = append([]string{"nsenter", "--net=" + world.HostNetwork}, args...)
	}
	out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("debootstrap: %v: %s", err, out[max(0, len(out)-1000):])
	}
	// In a sandbox the first stage leaves a link to the host's /proc there.
	proc := filepath.Join(dir, "proc")
	if st, err := os.Lstat(proc); err == nil && !st.IsDir() {
		if err := os.Remove(proc); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(proc, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestUnshareDebootstrap repeats what the article does with unshare, debootstrap
// and chroot, and compares.
func TestUnshareDebootstrap(t *testing.T) {
	if testing.Short() {
		t.Skip("debootstrap takes its time")
	}
	dir := debianRoot(t)
	t.Setenv("PATH", "/usr/sbin:/usr/bin:/sbin:/bin:"+os.Getenv("PATH"))
	const look = `. /etc/os-release; echo $ID; echo $$; echo /proc/[0-9]*; readlink /proc/1/root; ls /; dpkg --version | head -1; perl -e 'print "perl\n"'; id; cat /proc/self/status | grep Cap`
	want := hostRun(t, "unshare", "--fork", "--pid", "--mount", "sh", "-c", `mount -t proc proc "$0/proc"; exec chroot "$0" bash -c "$1"`, dir, look)
	got := hostRun(t, suite.Dx(t), "unshare", "--pid", "--mount-proc", "--root", dir, "bash", "-c", look)
	if want != got || !strings.HasPrefix(got.Stdout, "debian\n1\n/proc/1\n/\n") {
		t.Errorf("chroot: %+v\ndx:     %+v", want, got)
	}
	pid := startUnshared(t, "--pid", "--mount-proc", "--root", dir)
	if r := hostRun(t, suite.Dx(t), "exec", "pid:"+strconv.Itoa(pid), "bash", "-c", ". /etc/os-release; echo $ID; cat /proc/1/comm"); r.Stdout != "debian\nsleep\n" {
		t.Errorf("dx exec: %+v", r)
	}
}

// TestUnshareTheRootAsItIs: the root may be the one that there is already.
func TestUnshareTheRootAsItIs(t *testing.T) {
	engine.Require(t, engine.Root)
	for _, flags := range [][]string{{"-R", "/"}, {"-m", "-R", "/"}, {"-m", "-R", "/", "-w", "/tmp"}} {
		command := slices.Concat([]string{"unshare"}, flags, []string{"pwd"})
		want, got := hostRun(t, command...), hostRun(t, append([]string{suite.Dx(t)}, command...)...)
		if got != want || want.Code != 0 {
			t.Errorf("%q: %+v, want what unshare(1) gives: %+v", flags, got, want)
		}
	}
}
