package rootfs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"dx/nsops/launch"
	"dx/nsops/proc"
)

func TestMain(m *testing.M) {
	if errno, ok := withoutOpenat2[os.Getenv("DX_TEST_HELPER")]; ok {
		denyOpenat2(errno)
	}
	os.Exit(m.Run())
}

// withoutOpenat2 is what openat2(2) answers before Linux 5.6, and under a seccomp profile
// older than the call.
var withoutOpenat2 = map[string]unix.Errno{"ENOSYS": unix.ENOSYS, "EPERM": unix.EPERM}

func denyOpenat2(answer unix.Errno) {
	prog := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_OPENAT2},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(answer)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		panic(err)
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&fprog)))
	if errno != 0 {
		panic("seccomp: " + errno.Error())
	}
}

// TestOldKernel runs the tests of this package where there is no openat2.
func TestOldKernel(t *testing.T) {
	if os.Getenv("DX_TEST_HELPER") != "" {
		t.Skip("this is it")
	}
	for answer := range withoutOpenat2 {
		cmd := exec.Command(os.Args[0], "-test.run=^Test", "-test.v")
		cmd.Env = append(os.Environ(), "DX_TEST_HELPER="+answer)
		out, err := cmd.CombinedOutput()
		if err != nil || !strings.Contains(string(out), "--- PASS: TestReadFile") {
			t.Errorf("openat2 answers %s: %v: %s", answer, err, out)
		}
	}
}

func rootAt(t *testing.T, dir string) *Root {
	t.Helper()
	f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	d := &launch.Deputy{}
	t.Cleanup(func() { f.Close(); d.Close() })
	return At(f, d, "web")
}

// hostile is a tree with all that a path may meet on its way. What lies outside of it
// holds "outside".
func hostile(t *testing.T) string {
	t.Helper()
	top := t.TempDir()
	root := filepath.Join(top, "root")
	big := bytes.Repeat([]byte("0123456789abcdef"), 50_000)
	for name, content := range map[string][]byte{
		"secret": []byte("outside"), "root/file": []byte("inside"), "root/secret": []byte("inside"), "root/a/b/deep": []byte("deep"),
		"root/empty": nil, "root/big": big, "root/too-big": make([]byte, MaxFile+1),
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(top, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(top, name), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{
		"up": "../secret", "absolute": "/secret", "far-up": "../../../../../secret", "a/back": "../file", "link-to-dir": "a/b",
		"round": "round", "magic": "/proc/self/root" + top + "/secret", "dangling": "nowhere",
	} {
		if err := os.Symlink(to, filepath.Join(root, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.Mkfifo(filepath.Join(root, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	return root
}

func TestReadFile(t *testing.T) {
	dir := hostile(t)
	r := rootAt(t, dir)
	for path, want := range map[string]string{
		"/file": "inside", "file": "inside", "/a/b/deep": "deep", "/empty": "", "/up": "inside", "/absolute": "inside", "/far-up": "inside",
		"/a/back": "inside", "/link-to-dir/deep": "deep", "/../../file": "inside", "/a/../file": "inside", "//a/./b//deep": "deep",
		"/big": strings.Repeat("0123456789abcdef", 50_000),
	} {
		if b, err := r.ReadFile(path); err != nil || string(b) != want {
			t.Errorf("%s: %d bytes %.20q, %v; want %.20q", path, len(b), b, err, want)
		}
	}
	for path, want := range map[string]error{
		"/nowhere": fs.ErrNotExist, "/dangling": fs.ErrNotExist, "/file/x": unix.ENOTDIR, "/fifo": ErrNotRegular, "/a": ErrNotRegular, "/": ErrNotRegular,
		"/" + strings.Repeat("x", launch.RoomSize): unix.ENAMETOOLONG,
		"/round": unix.ELOOP, "/magic": fs.ErrNotExist, "/" + strings.Repeat("x", 5000): unix.ENAMETOOLONG,
	} {
		if b, err := r.ReadFile(path); !errors.Is(err, want) {
			t.Errorf("%.20s: %.20q, %v; want %v", path, b, err, want)
		}
	}
	if _, err := r.ReadFile("/too-big"); err == nil || !strings.Contains(err.Error(), "larger than 8 MiB") {
		t.Errorf("a file that is too big: %v", err)
	}
}

// Magic links of a procfs lead nowhere, whatever the process behind them is.
func TestMagicLinks(t *testing.T) {
	r := rootAt(t, "/")
	if os.Getenv("DX_TEST_HELPER") != "" {
		t.Skip("the text of a link is walked like that of any other: here it stays beneath the root")
	}
	for _, path := range []string{"/proc/self/root/etc/passwd", "/proc/self/exe", fmt.Sprintf("/proc/%d/cwd/rootfs_test.go", os.Getpid())} {
		if b, err := r.ReadFile(path); err == nil {
			t.Errorf("%s was followed: %.20q", path, b)
		}
	}
	if b, err := r.ReadFile("/proc/self/comm"); err != nil || len(b) == 0 {
		t.Errorf("a file of no size: %q %v", b, err)
	}
	// seq_file answers a page at a time: a short answer is not the end of it.
	b, err := r.ReadFile(fmt.Sprintf("/proc/%d/smaps", os.Getpid()))
	if err != nil || len(b) < 2*os.Getpagesize() || !bytes.Contains(b, []byte("[stack]")) {
		t.Errorf("a file in many parts: %d bytes, %v, want all up to the stack", len(b), err)
	}
}

// TestProcIsProc: what is mounted at /proc may be anybody's, and names in it lead anywhere
// (CVE-2025-52881).
func TestProcIsProc(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounts need root")
	}
	errs := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with its mounts
		errs <- func() error {
			if err := unix.Unshare(unix.CLONE_FS | unix.CLONE_NEWNS); err != nil {
				return err
			}
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
				return err
			}
			if err := unix.Mount("forged", "/proc", "tmpfs", 0, ""); err != nil {
				return err
			}
			if err := os.MkdirAll("/proc/self/fd", 0o755); err != nil {
				return err
			}
			if err := checkProc(); err == nil || !strings.Contains(err.Error(), "/proc is no procfs") {
				t.Errorf("a tmpfs passes for a procfs: %v", err)
			}
			return nil
		}()
	}()
	if err := <-errs; err != nil {
		t.Error(err)
	}
}

// TestIsProgram: execute bits of a directory or a device make no program.
func TestIsProgram(t *testing.T) {
	for mode, want := range map[uint32]bool{
		unix.S_IFREG | 0o755: true, unix.S_IFREG | 0o001: true, unix.S_IFREG | 0o644: false,
		unix.S_IFDIR | 0o755: false, unix.S_IFCHR | 0o777: false, unix.S_IFLNK | 0o777: false,
	} {
		if got := (Info{Stat_t: unix.Stat_t{Mode: mode}}).IsProgram(); got != want {
			t.Errorf("mode %o: %v, want %v", mode, got, want)
		}
	}
}

func TestOpenAndStat(t *testing.T) {
	r := rootAt(t, "/")
	f, info, err := r.Open("/dev/null")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var want unix.Stat_t
	if err := unix.Stat("/dev/null", &want); err != nil {
		t.Fatal(err)
	}
	var got unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &got); err != nil {
		t.Fatal(err)
	}
	if info.Ino != want.Ino || info.Rdev != want.Rdev || got.Ino != want.Ino {
		t.Errorf("/dev/null: %+v, the file %+v; want %+v", info, got, want)
	}
	if info, err := r.Stat("/proc"); err != nil || info.FS.Type != unix.PROC_SUPER_MAGIC {
		t.Errorf("/proc lies on %#x, %v", info.FS.Type, err)
	}
	in := rootAt(t, hostile(t))
	if _, info, err := in.Open("/up"); err != nil || info.Mode&unix.S_IFMT != unix.S_IFLNK {
		t.Errorf("the last component is followed: %+v %v", info, err)
	}
}

// TestNothingLeft: descriptors are closed on both sides, and what the caller has opened
// stays open.
func TestNothingLeft(t *testing.T) {
	limitDescriptors(t, 128)
	r := rootAt(t, hostile(t))
	count := func() int {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	before := count()
	for range 256 { // more than a process may have open
		if _, err := r.ReadFile("/a/back"); err != nil {
			t.Fatal(err)
		}
	}
	r.deputy.Close()
	if after := count(); after > before {
		t.Errorf("%d descriptors, then %d", before, after)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if _, err := r.dir.Stat(); err != nil {
		t.Errorf("the caller's descriptor after Close: %v", err)
	}
	self, err := proc.Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	own, err := Open(self, r.deputy, "the test")
	if err != nil {
		t.Fatal(err)
	}
	if err := own.Close(); err != nil {
		t.Error(err)
	}
	if _, err := own.dir.Stat(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("what Open has opened after Close: %v", err)
	}
}

// limitDescriptors lowers how many this process and a deputy may have open.
func limitDescriptors(t *testing.T, n uint64) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: n, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	})
}

func BenchmarkReadFile(b *testing.B) {
	root, err := os.OpenFile("/", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer root.Close()
	for _, again := range []bool{true, false} {
		b.Run(fmt.Sprintf("deputy=%v", again), func(b *testing.B) {
			d := &launch.Deputy{}
			defer d.Close()
			for b.Loop() {
				if !again {
					d.Close()
				}
				if _, err := At(root, d, "host").ReadFile("/etc/passwd"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
