package census

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dx/nsops"
)

func TestParseInode(t *testing.T) {
	for text, want := range map[string]uint64{
		"pos:\t0\nflags:\t0100000\nmnt_id:\t118\nino:\t4026532320\n": 4026532320,
		"pos:\t0\nflags:\t02\nmnt_id:\t15\n":                         0, // before 5.14
		"ino:\tx\n":                                                  0, "xino:\t7\n": 0, "": 0,
	} {
		if got, ok := parseInode([]byte(text)); got != want || ok != (want != 0) {
			t.Errorf("%q: %d, %v, want %d", text, got, ok, want)
		}
	}
}

func FuzzParseInode(f *testing.F) {
	f.Add([]byte("pos:\t0\nino:\t4026532320\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if ino, ok := parseInode(b); !ok && ino != 0 {
			t.Errorf("%q: %d, though none was told", b, ino)
		}
	})
}

// threadEnv makes this program a process of which one thread is in a namespace of its own.
const threadEnv = "DX_TEST_THREAD"

func TestMain(m *testing.M) {
	if os.Getenv(threadEnv) != "" {
		fmt.Println(nsops.OnOwnThread(beElsewhere))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// beElsewhere puts the thread into a namespace, and with a file of its own, until the end.
func beElsewhere() error {
	if err := unix.Unshare(unix.CLONE_NEWUTS | unix.CLONE_FILES); err != nil {
		return err
	}
	// A bare descriptor, of the thread's own table alone: Go's poller is in the other one.
	fd, err := unix.Open(fmt.Sprintf("/proc/self/task/%d/ns/uts", unix.Gettid()), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	if _, err := unix.Write(1, fmt.Appendf(nil, "ready %d %d %d\n", unix.Gettid(), st.Ino, fd)); err != nil {
		return err
	}
	for {
		unix.Pause() // the thread stays, whatever the runtime thinks of it
	}
}

// started runs a command until the end of the test and returns its PID and its first line.
func started(t *testing.T, cmd *exec.Cmd) (pid int, line string) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%q: %q, %v", cmd.Args, line, err)
	}
	return cmd.Process.Pid, strings.TrimSpace(line)
}

func holdsOf(t *testing.T, inode uint64) []Hold {
	t.Helper()
	c, err := Take(true)
	if err != nil {
		t.Fatal(err)
	}
	for _, ns := range c.List() {
		if ns.ID.Inode == inode {
			return ns.Holds
		}
	}
	return nil
}

// TestHeldByWayOfAMount: a descriptor that was opened where the namespace was mounted is
// called after that place, also when the mount has gone.
func TestHeldByWayOfAMount(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting takes root")
	}
	f := orphanNamespace(t)
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	point := filepath.Join(t.TempDir(), "ns")
	if err := os.WriteFile(point, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for how, undo := range map[string]string{"mounted": ":", "unmounted": "umount -l " + point} {
		cmd := exec.Command("unshare", "-m", "sh", "-c", "mount --bind /proc/self/fd/3 "+point+" && exec 9<"+point+" 3<&- && "+undo+" && echo ready && exec sleep 100000")
		cmd.ExtraFiles = []*os.File{f}
		pid, line := started(t, cmd)
		link, err := os.Readlink(fmt.Sprintf("/proc/%d/fd/9", pid))
		if err != nil || line != "ready" || !strings.HasPrefix(link, "/") {
			t.Fatalf("%s: %q, %q, %v, want a descriptor with a path", how, line, link, err)
		}
		if holds := holdsOf(t, st.Ino); !slices.ContainsFunc(holds, func(h Hold) bool { return h.PID == pid && h.FD == 9 && h.Path == "" }) {
			t.Errorf("%s: kept by %+v, want fd 9 of %d", how, holds, pid)
		}
	}
}

// TestHeldByAThread: one thread is elsewhere, and has files of its own.
func TestHeldByAThread(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("unshare takes root")
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), threadEnv+"=1")
	pid, line := started(t, cmd)
	var tid, fd int
	var inode uint64
	if _, err := fmt.Sscanf(line, "ready %d %d %d", &tid, &inode, &fd); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	holds := holdsOf(t, inode)
	if !slices.ContainsFunc(holds, func(h Hold) bool { return h.PID == pid && h.TID == tid && h.path == "" }) {
		t.Errorf("kept by %+v, want thread %d of %d", holds, tid, pid)
	}
	if !slices.ContainsFunc(holds, func(h Hold) bool { return h.PID == pid && h.FD == fd && h.path != "" }) {
		t.Errorf("kept by %+v, want fd %d of the thread's", holds, fd)
	}
}

// TestHeldByASocket: its process is elsewhere, and nobody is where it was made.
func TestHeldByASocket(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("making a network namespace takes root")
	}
	var inode uint64
	var socket *os.File
	err := nsops.OnOwnThread(func() (err error) {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Stat(fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid()), &st); err != nil {
			return err
		}
		inode = st.Ino
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		socket = os.NewFile(uintptr(fd), "socket")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	holder := exec.Command("sh", "-c", "echo; exec sleep 100000")
	holder.ExtraFiles = []*os.File{socket}
	pid, _ := started(t, holder)
	if err := socket.Close(); err != nil {
		t.Fatal(err)
	}
	c, err := Take(true)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Sockets(); err != nil {
		t.Fatalf("not all sockets were asked: %v", err)
	}
	c.Relate(func(ns *Namespace) bool { return ns.ID.Inode == inode })
	i := slices.IndexFunc(c.List(), func(ns *Namespace) bool { return ns.ID.Inode == inode })
	if i < 0 {
		t.Fatal("the namespace was not found")
	}
	ns := c.List()[i]
	if len(ns.Holds) != 1 || ns.Holds[0].PID != pid || !ns.Holds[0].Socket || ns.Holds[0].FD != 3 || ns.Owner.IsZero() {
		t.Errorf("%+v, want one that fd 3 of %d keeps, and its owner", ns, pid)
	}
}
