package nsops

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"dx/e2e/await"
	"dx/nsops/proc"
)

// helperVar makes the test binary play one of the processes that tests look at.
const helperVar = "NSOPS_TEST_HELPER"

// init keeps the main goroutine on the main thread: unshare(2) changes one thread,
// and /proc/PID/ns is that of the main thread.
func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) {
	helpers := map[string]func() error{"unshare-time": unshareTime, "unshare-pid": unsharePID, "read-init": readInit, "read-host": readHost}
	if helper := helpers[os.Getenv(helperVar)]; helper != nil {
		if err := helper(); err != nil {
			fmt.Println("failed:", err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// unshareTime becomes a process whose children will be born into a new time namespace.
func unshareTime() error {
	if err := unix.Unshare(unix.CLONE_NEWTIME); err != nil {
		return err
	}
	return sayReady("ready")
}

// unsharePID becomes a process whose first child lives in a new PID namespace.
func unsharePID() error {
	// The os package forks once to learn whether pidfds work: that child must not
	// become, and end with itself, the new namespace.
	if err := exec.Command("true").Run(); err != nil {
		return err
	}
	if err := unix.Unshare(unix.CLONE_NEWPID); err != nil {
		return err
	}
	child := exec.Command("sleep", "1000")
	child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := child.Start(); err != nil {
		return err
	}
	return sayReady(strconv.Itoa(child.Process.Pid))
}

// readInit reads a process that its unprivileged caller may not trace.
func readInit() error {
	p, err := proc.Open(1)
	if err != nil {
		return err
	}
	defer p.Close()
	_, err = Read(p)
	fmt.Println(errors.Is(err, fs.ErrPermission), err)
	return nil
}

func sayReady(line string) error {
	fmt.Println(line)
	_, err := os.Stdin.Read(make([]byte, 1))
	return err
}

// startHelper starts a helper and returns its PID and the line that it says.
func startHelper(t *testing.T, name string) (int, string) {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), helperVar+"="+name)
	cmd.Stderr = os.Stderr
	if _, err := cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	startCommand(t, cmd)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || strings.HasPrefix(line, "failed") {
		t.Fatalf("helper %s: %q, %v", name, line, err)
	}
	return cmd.Process.Pid, strings.TrimSpace(line)
}

func startCommand(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}

// needRoot skips a test that makes namespaces.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("making namespaces needs root")
	}
}

func mustRead(t *testing.T, pid int) Set {
	t.Helper()
	p, err := proc.Open(pid)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	set, err := Read(p)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// links reads /proc/PID/ns as readlink(1) and stat(1) -L have it.
func links(t *testing.T, pid int) map[Type]ID {
	t.Helper()
	out := map[Type]ID{}
	for _, typ := range Types {
		path := fmt.Sprintf("/proc/%d/ns/%s", pid, typ)
		text := run(t, "readlink", path)
		var id ID
		if _, err := fmt.Sscan(run(t, "stat", "-L", "-c", "%d %i", path), &id.Device, &id.Inode); err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("%s:[%d]", typ, id.Inode); text != want {
			t.Errorf("readlink says %s, stat says %s", text, want)
		}
		out[typ] = id
	}
	return out
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		t.Fatalf("%s %s: %v", name, strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out))
}

// waitFor polls until what unshare(1) runs is a sleep.
func waitFor(t *testing.T, pid int, comm string) {
	t.Helper()
	await.Until(t, fmt.Sprintf("pid %d is %s", pid, comm), func() bool {
		b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		return strings.TrimSpace(string(b)) == comm
	})
}

func startUnshare(t *testing.T, flags ...string) int {
	t.Helper()
	needRoot(t)
	cmd := exec.Command("unshare", append(flags, "sleep", "1000")...)
	startCommand(t, cmd)
	waitFor(t, cmd.Process.Pid, "sleep")
	return cmd.Process.Pid
}

// The kernel itself says which clone flag a namespace has (NS_GET_NSTYPE).
func TestCloneFlag(t *testing.T) {
	const nsGetNSType = 0xb703 // _IO(0xb7, 3), linux/nsfs.h
	for _, typ := range Types {
		f, err := os.Open("/proc/self/ns/" + string(typ))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		want, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), nsGetNSType, 0)
		if errno != 0 {
			t.Fatalf("NS_GET_NSTYPE: %v", errno)
		}
		if got := typ.CloneFlag(); got != want {
			t.Errorf("%s: %#x, the kernel says %#x", typ, got, want)
		}
	}
	if got := Type("nosuch").CloneFlag(); got != 0 {
		t.Errorf("unknown kind: %#x", got)
	}
}

func TestReadAgainstReadlinkAndStat(t *testing.T) {
	for name, pid := range map[string]int{
		"self":     os.Getpid(),
		"unshared": startUnshare(t, "--mount", "--uts", "--ipc", "--net", "--cgroup"),
		"user":     startUnshare(t, "--user", "--map-root-user"),
	} {
		set := mustRead(t, pid)
		if diff := cmp.Diff(links(t, pid), set.Own); diff != "" {
			t.Errorf("%s (-readlink +got):\n%s", name, diff)
		}
		if len(set.Children) != 0 {
			t.Errorf("%s: children differ: %v", name, set.Children)
		}
	}
}

func TestReadAgainstLsns(t *testing.T) {
	pid := startUnshare(t, "--mount", "--net", "--uts")
	var listing struct {
		Namespaces []struct {
			NS   uint64
			Type Type
		}
	}
	var out []byte
	await.Until(t, "lsns has read /proc without a process ending, at which it gives up", func() bool {
		var err error
		out, err = exec.Command("lsns", "-J", "-o", "NS,TYPE", "-p", strconv.Itoa(pid)).Output()
		return err == nil
	})
	if err := json.Unmarshal(out, &listing); err != nil {
		t.Fatal(err)
	}
	want := map[Type]uint64{}
	for _, ns := range listing.Namespaces {
		want[ns.Type] = ns.NS
	}
	got := map[Type]uint64{}
	for typ, id := range mustRead(t, pid).Own {
		got[typ] = id.Inode
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-lsns +got):\n%s", diff)
	}
}

func TestChildrenUnborn(t *testing.T) {
	set := mustRead(t, startUnshare(t, "--pid"))
	if diff := cmp.Diff(map[Type]ID{PID: {}}, set.Children); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestChildrenInNewPIDNamespace(t *testing.T) {
	needRoot(t)
	pid, line := startHelper(t, "unshare-pid")
	child, err := strconv.Atoi(line)
	if err != nil {
		t.Fatal(err)
	}
	want := map[Type]ID{PID: links(t, child)[PID]}
	if diff := cmp.Diff(want, mustRead(t, pid).Children); diff != "" {
		t.Errorf("(-namespace of the child +got):\n%s", diff)
	}
}

func TestChildrenInNewTimeNamespace(t *testing.T) {
	needRoot(t)
	pid, _ := startHelper(t, "unshare-time")
	var want ID
	path := fmt.Sprintf("/proc/%d/ns/time_for_children", pid)
	if _, err := fmt.Sscan(run(t, "stat", "-L", "-c", "%d %i", path), &want.Device, &want.Inode); err != nil {
		t.Fatal(err)
	}
	set := mustRead(t, pid)
	if diff := cmp.Diff(map[Type]ID{Time: want}, set.Children); diff != "" {
		t.Errorf("(-stat +got):\n%s", diff)
	}
	if set.Own[Time] == want {
		t.Error("the helper's own time namespace is the new one")
	}
}

func TestReadOfDyingProcess(t *testing.T) {
	fds := countFDs(t)
	cmd := exec.Command("sleep", "1000")
	startCommand(t, cmd)
	p, err := proc.Open(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	await.Zombie(t, cmd)
	if set, err := Read(p); !errors.Is(err, proc.ErrGone) {
		t.Errorf("zombie: %v, %v, want ErrGone", set, err)
	}
	cmd.Wait()
	if set, err := Read(p); !errors.Is(err, proc.ErrGone) {
		t.Errorf("reaped: %v, %v, want ErrGone", set, err)
	}
	p.Close()
	if now := countFDs(t); now > fds {
		t.Errorf("%d descriptors, %d before", now, fds)
	}
}

func countFDs(t *testing.T) int {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

func TestReadWithoutPermission(t *testing.T) {
	needRoot(t)
	cmd := exec.Command(forAnybody(t))
	cmd.Env = []string{helperVar + "=read-init"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "true ") {
		t.Errorf("as nobody: %q, %v, want fs.ErrPermission", out, err)
	}
}

// forAnybody is a copy of this test that every user may run, whatever the umask.
func forAnybody(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "test")
	if err := errors.Join(os.WriteFile(file, b, 0o755), os.Chmod(file, 0o755), os.Chmod(dir, 0o755), os.Chmod(filepath.Dir(dir), 0o755)); err != nil {
		t.Fatal(err)
	}
	return file
}

func device(t *testing.T) uint64 {
	t.Helper()
	dev, err := nsfs()
	if err != nil {
		t.Fatal(err)
	}
	return dev
}

// kernel is a directory as an older kernel or a dying process shows it: a link that
// leads nowhere has the zero ID.
type kernel map[string]ID

func (k kernel) NamespaceInode(name string) (uint64, error) {
	id := k[name]
	if id.IsZero() {
		return 0, fmt.Errorf("readlink %s: %w", name, unix.ENOENT)
	}
	return id.Inode, nil
}

func (k kernel) Has(name string) (bool, error) {
	_, ok := k[name]
	return ok, nil
}

func TestReadOnOlderKernels(t *testing.T) {
	own := func(types ...Type) (kernel, map[Type]ID) {
		k, want := kernel{}, map[Type]ID{}
		for i, typ := range types {
			want[typ] = ID{Device: device(t), Inode: uint64(100 + i)}
			k["ns/"+string(typ)] = want[typ]
		}
		return k, want
	}
	for name, types := range map[string][]Type{
		"3.8, before cgroup and time": {IPC, Mnt, Net, PID, User, UTS},
		"4.18, before time":           {Cgroup, IPC, Mnt, Net, PID, User, UTS},
		"without CONFIG_USER_NS":      {Cgroup, IPC, Mnt, Net, PID, Time, UTS},
	} {
		k, want := own(types...)
		k["ns/pid_for_children"] = k["ns/pid"]
		set, err := read(k)
		if err != nil {
			t.Errorf("read of a process %s: %v", name, err)
		}
		if diff := cmp.Diff(Set{Own: want, Children: map[Type]ID{}}, set); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestReadWhenLinksLeadNowhere(t *testing.T) {
	k := kernel{}
	for i, typ := range Types {
		k["ns/"+string(typ)] = ID{Device: device(t), Inode: uint64(100 + i)}
	}
	k["ns/uts"] = ID{}
	if _, err := read(k); !errors.Is(err, proc.ErrGone) {
		t.Errorf("died before the last link: %v, want ErrGone", err)
	}
}
