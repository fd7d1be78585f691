package lookup

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"dx/dockerx"
	"dx/nsops/proc"
)

// What the made container has in its network namespace, where nobody else can have it.
const (
	madeAddress = "192.0.2.7" // TEST-NET-1 (RFC 5737)
	madePort    = 8123
	madeVolume  = "DX_TEST_VOLUME" // a directory that it mounts at another
)

func TestMain(m *testing.M) {
	if volume, ok := os.LookupEnv(madeVolume); ok {
		if err := beContainer(volume); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// beContainer is the init of the made container. It ends with its standard input.
func beContainer(volume string) error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find lo: %w", err)
	}
	addr, err := netlink.ParseAddr(madeAddress + "/32")
	if err != nil {
		return err
	}
	if err := netlink.AddrAdd(lo, addr); err != nil {
		return fmt.Errorf("add an address: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("set lo up: %w", err)
	}
	l, err := net.Listen("tcp", fmt.Sprintf("%s:%d", madeAddress, madePort))
	if err != nil {
		return err
	}
	defer l.Close()
	if err := unix.Mount(filepath.Join(volume, "source"), filepath.Join(volume, "target"), "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	child := exec.Command("sleep", "100000")
	child.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWIPC, Pdeathsig: unix.SIGKILL}
	if err := child.Start(); err != nil {
		return err
	}
	fmt.Println("ready", child.Process.Pid)
	bufio.NewReader(os.Stdin).ReadByte()
	_ = child.Process.Kill()
	_ = child.Wait()
	return nil
}

// made is a container of the test's own making: a process in namespaces of its own.
type made struct {
	*dockerx.Container
	child  int    // a process of it, in another ipc namespace than its init
	volume string // a directory of the host, mounted in it
}

func makeContainer(t *testing.T) made {
	t.Helper()
	volume := t.TempDir()
	for _, name := range []string{"source", "target"} {
		if err := os.Mkdir(filepath.Join(volume, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), madeVolume+"="+volume)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   unix.CLONE_NEWNET | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC,
		Unshareflags: unix.CLONE_NEWNS, // its mounts are private then
	}
	if os.Geteuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Geteuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getegid(), Size: 1}}
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Skipf("this user may make no namespaces here: %v", err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	m := made{volume: filepath.Join(volume, "source")}
	line, err := bufio.NewReader(out).ReadString('\n')
	if _, errScan := fmt.Sscanf(line, "ready %d", &m.child); errScan != nil {
		t.Fatalf("the container did not start: %q, %v", line, err)
	}
	p, err := proc.Open(cmd.Process.Pid)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close() })
	m.Container = &dockerx.Container{ID: strings.Repeat("ab", 32), Ref: "made", Name: "made", Process: p}
	return m
}

// inode is that of a process's namespace, as the kernel says it.
func inode(t *testing.T, pid int, name string) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Stat(fmt.Sprintf("/proc/%d/ns/%s", pid, name), &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

// TestFindToContainer asks for what the container has, in every way.
func TestFindToContainer(t *testing.T) {
	c := makeContainer(t)
	pid := c.Process.PID
	ways := map[string]string{
		fmt.Sprint(pid):                                   "its init",
		fmt.Sprintf("pid:%d", c.child):                    "namespace",
		fmt.Sprintf("net:[%d]", inode(t, pid, "net")):     "its net namespace",
		fmt.Sprintf("inode:%d", inode(t, pid, "uts")):     "its uts namespace",
		fmt.Sprint(inode(t, pid, "mnt")):                  "its mnt namespace",
		fmt.Sprintf("/proc/%d/ns/net", pid):               "its net namespace",
		fmt.Sprintf("ipc:[%d]", inode(t, c.child, "ipc")): fmt.Sprintf("the ipc namespace of its process %d, not of its init", c.child),
		fmt.Sprintf("tcp:%d", madePort):                   "in its net namespace",
		fmt.Sprintf("port:%d", madePort):                  "in its net namespace",
		c.volume:                                          "it has that mounted at " + filepath.Join(filepath.Dir(c.volume), "target"),
	}
	if os.Geteuid() == 0 { // else another network namespace cannot be looked into
		ways[madeAddress] = "lo in its net namespace has 192.0.2.7/32"
		ways["ip:"+madeAddress+"/24"] = "lo in its net namespace has 192.0.2.7/32"
	}
	for tid := range threadsOf(t, pid) {
		if tid != pid {
			ways[fmt.Sprint(tid)] = fmt.Sprintf("a thread of process %d: its init", pid)
			break
		}
	}
	for _, inode := range socketsOf(t, pid) {
		ways[fmt.Sprintf("socket:[%d]", inode)] = fmt.Sprintf("its process %d (", pid)
	}
	for arg, want := range ways {
		hits, err := New([]*dockerx.Container{c.Container}).Find(arg)
		if err != nil || len(hits) != 1 || hits[0].Container != c.Container || !strings.Contains(hits[0].Evidence, want) {
			t.Errorf("%s: %+v, %v, want made, by %q", arg, hits, err, want)
		}
	}
}

// threadsOf are the threads of a process, by the kernel's own list.
func threadsOf(t *testing.T, pid int) map[int]bool {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", pid))
	if err != nil {
		t.Fatal(err)
	}
	out := map[int]bool{}
	for _, e := range entries {
		tid, err := strconv.Atoi(e.Name())
		if err != nil {
			t.Fatal(err)
		}
		out[tid] = true
	}
	return out
}

// socketsOf are the inodes of a process's sockets, as links of /proc have them.
func socketsOf(t *testing.T, pid int) (out []uint64) {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		var inode uint64
		if to, err := os.Readlink(link); err == nil {
			if _, err := fmt.Sscanf(to, "socket:[%d]", &inode); err == nil {
				out = append(out, inode)
			}
		}
	}
	if len(out) == 0 {
		t.Error("it has no socket")
	}
	return out
}

// TestFindElsewhere: what is the test's own, the host's or nobody's is no container's.
func TestFindElsewhere(t *testing.T) {
	c := makeContainer(t)
	finder := New([]*dockerx.Container{c.Container})
	self := os.Getpid()
	for _, arg := range []string{
		fmt.Sprint(self), fmt.Sprintf("net:[%d]", inode(t, self, "net")), "inode:1", "192.0.2.8",
		fmt.Sprintf("udp:%d", madePort), fmt.Sprintf("tcp:%d", madePort+1), "pid:2147483646", "if:dxnosuch0",
		"/proc/sys", "socket:4294967295", "cgroup:/dx/no/such/cgroup",
	} {
		var unknown *UnknownError
		if hits, err := finder.Find(arg); len(hits) > 0 || !errors.As(err, &unknown) {
			t.Errorf("%s: %+v, %v, want an UnknownError", arg, hits, err)
		}
	}
	want := ""
	if os.Geteuid() != 0 {
		want = "made's network"
	}
	if unread := strings.Join(finder.Unread(), ", "); unread != want {
		t.Errorf("%q could not be read, want %q", unread, want)
	}
}
