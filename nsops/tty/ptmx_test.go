package tty

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// inMountNamespace runs f on a thread with mounts of its own, which end with it.
func inMountNamespace(t *testing.T, f func()) {
	t.Helper()
	needRoot(t)
	failed := make(chan error, 1)
	go func() {
		var err error
		defer func() { failed <- err }()
		// Not unlocked: the thread ends with the goroutine.
		runtime.LockOSThread()
		err = unix.Unshare(unix.CLONE_NEWNS)
		if err == nil {
			err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, "")
		}
		if err == nil {
			f()
		}
	}()
	if err := <-failed; err != nil {
		t.Fatal(err)
	}
}

// hostileRoot is an empty root on a tmpfs with a directory dev. It is to be called, and
// changed, inside inMountNamespace; errors end the test from there as well.
type hostileRoot struct {
	t   *testing.T
	dir string
}

func newRootfs(t *testing.T) hostileRoot {
	r := hostileRoot{t, t.TempDir()}
	r.ok(unix.Mount("dx-test", r.dir, "tmpfs", 0, ""))
	r.mkdir("dev")
	return r
}

func (r hostileRoot) ok(err error) {
	if err != nil {
		_, _, line, _ := runtime.Caller(2)
		r.t.Errorf("preparing the rootfs, line %d: %v", line, err)
		runtime.Goexit()
	}
}

func (r hostileRoot) path(name string) string { return filepath.Join(r.dir, name) }
func (r hostileRoot) mkdir(name string)       { r.ok(os.MkdirAll(r.path(name), 0o755)) }
func (r hostileRoot) write(name string)       { r.ok(os.WriteFile(r.path(name), []byte("x"), 0o644)) }
func (r hostileRoot) symlink(to, name string) { r.ok(os.Symlink(to, r.path(name))) }

func (r hostileRoot) bind(from, name string) {
	r.ok(unix.Mount(from, r.path(name), "", unix.MS_BIND, ""))
}

func (r hostileRoot) mknod(name string, kind uint32, major, minor uint32) {
	r.ok(unix.Mknod(r.path(name), kind|0o666, int(unix.Mkdev(major, minor))))
}

func (r hostileRoot) devpts(name string) {
	r.mkdir(name)
	r.ok(unix.Mount("devpts", r.path(name), "devpts", unix.MS_NOSUID|unix.MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620,gid=5"))
}

func TestOpenPTY(t *testing.T) {
	noLeaks(t)
	inMountNamespace(t, func() {
		r := newRootfs(t)
		r.devpts("dev/pts")
		for want := range 3 {
			checkPTY(r, "dev/pts", want)
		}
	})
}

func checkPTY(r hostileRoot, devpts string, number int) {
	t := r.t
	master, peer, err := OpenPTY(openRoot(t, r.dir))
	if err != nil {
		t.Errorf("OpenPTY: %v", err)
		return
	}
	t.Cleanup(func() { master.Close(); peer.Close() })
	var got, node unix.Stat_t
	r.ok(unix.Fstat(int(peer.Fd()), &got))
	r.ok(unix.Stat(r.path(fmt.Sprint(devpts, "/", number)), &node))
	if got.Dev != node.Dev || got.Ino != node.Ino || got.Rdev != node.Rdev {
		t.Errorf("peer is %d:%d, %s/%d of the root is %d:%d", got.Dev, got.Ino, devpts, number, node.Dev, node.Ino)
	}
	if got.Gid != 5 || got.Mode != unix.S_IFCHR|0o620 {
		t.Errorf("peer has gid %d, mode %o; want those of the mount: 5, 620", got.Gid, got.Mode)
	}
	for _, f := range []*os.File{master, peer} {
		if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
			t.Errorf("%s is not close-on-exec (%v)", f.Name(), err)
		}
	}
	echo(t, master, peer)
}

func echo(t *testing.T, master, peer *os.File) {
	if _, err := peer.WriteString("hello\n"); err != nil {
		t.Error(err)
	}
	// ONLCR is on, as in docker exec -t.
	got := make([]byte, len("hello\r\n"))
	if _, err := io.ReadFull(master, got); err != nil || string(got) != "hello\r\n" {
		t.Errorf("the master reads %q, %v", got, err)
	}
}

// attacks are what a container can put where its devpts is expected.
var attacks = map[string]func(r hostileRoot){
	"no dev/pts":           func(r hostileRoot) {},
	"dev is a file":        func(r hostileRoot) { r.ok(os.Remove(r.path("dev"))); r.write("dev") },
	"no devpts":            func(r hostileRoot) { r.mkdir("dev/pts") },
	"regular file":         func(r hostileRoot) { r.mkdir("dev/pts"); r.write("dev/pts/ptmx") },
	"directory":            func(r hostileRoot) { r.mkdir("dev/pts/ptmx") },
	"fifo":                 func(r hostileRoot) { r.mkdir("dev/pts"); r.mknod("dev/pts/ptmx", unix.S_IFIFO, 0, 0) },
	"device 5:2 elsewhere": func(r hostileRoot) { r.mkdir("dev/pts"); r.mknod("dev/pts/ptmx", unix.S_IFCHR, 5, 2) },
	"symlink to the host's ptmx": func(r hostileRoot) {
		r.mkdir("dev/pts")
		r.symlink("/dev/pts/ptmx", "dev/pts/ptmx")
	},
	"symlink out of the root": func(r hostileRoot) {
		r.mkdir("dev/pts")
		r.symlink("../../../../../../../../dev/ptmx", "dev/pts/ptmx")
	},
	"symlink to a real devpts": func(r hostileRoot) {
		r.devpts("other")
		r.mkdir("dev/pts")
		r.symlink("/other/ptmx", "dev/pts/ptmx")
	},
	"dev/pts is a symlink out of the root": func(r hostileRoot) { r.symlink("../../../../../../../dev/pts", "dev/pts") },
	"dev/pts is a symlink to a host path":  func(r hostileRoot) { r.symlink("/proc/self/root/dev/pts", "dev/pts") },
	"dev/pts is a magic link to the host": func(r hostileRoot) {
		r.mkdir("proc")
		r.ok(unix.Mount("proc", r.path("proc"), "proc", 0, ""))
		r.symlink("/proc/1/root/dev/pts", "dev/pts")
	},
	"bind of /dev/null":      func(r hostileRoot) { r.devpts("dev/pts"); r.bind("/dev/null", "dev/pts/ptmx") },
	"bind of /dev/zero":      func(r hostileRoot) { r.devpts("dev/pts"); r.bind("/dev/zero", "dev/pts/ptmx") },
	"bind of a regular file": func(r hostileRoot) { r.devpts("dev/pts"); r.write("f"); r.bind(r.path("f"), "dev/pts/ptmx") },
	// CVE-2025-52565: a terminal in the place of the multiplexer.
	"bind of a terminal": func(r hostileRoot) {
		r.devpts("dev/pts")
		master, peer, err := OpenPTY(openRoot(r.t, r.dir))
		r.ok(err)
		r.t.Cleanup(func() { master.Close(); peer.Close() })
		r.bind(r.path("dev/pts/0"), "dev/pts/ptmx")
	},
	"bind of a /dev/ptmx": func(r hostileRoot) {
		r.devpts("dev/pts")
		r.mknod("ptmx", unix.S_IFCHR, 5, 2)
		r.bind(r.path("ptmx"), "dev/pts/ptmx")
	},
}

// TestOpenPTYRefuses: none of them opens a terminal, and what was opened on the way is
// closed (noLeaks).
func TestOpenPTYRefuses(t *testing.T) {
	for name, prepare := range attacks {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			inMountNamespace(t, func() {
				r := newRootfs(t)
				prepare(r)
				master, peer, err := OpenPTY(openRoot(t, r.dir))
				if master != nil || peer != nil {
					t.Error("a terminal was opened")
				}
				if !errors.Is(err, ErrNoDevpts) || !strings.HasPrefix(err.Error(), "no devpts at /dev/pts of the container: ") {
					t.Errorf("error is %v", err)
				}
			})
		})
	}
}

// TestSymlinkedDevpts: a link inside the root to a real devpts is as good as in
// runc, which follows it.
func TestSymlinkedDevpts(t *testing.T) {
	inMountNamespace(t, func() {
		r := newRootfs(t)
		r.devpts("run/pts")
		r.symlink("/run/pts", "dev/pts")
		checkPTY(r, "run/pts", 0)
	})
}

// TestOldKernel runs the tests of everything that has a fallback without the calls
// that came after Linux 4.18.
func TestOldKernel(t *testing.T) {
	needRoot(t)
	if os.Getenv("DX_TEST_HELPER") != "" {
		t.Skip("this is the inner run")
	}
	cmd := exec.Command(os.Args[0], "-test.run=OpenPTY|Symlinked|Null|PTY", "-test.v")
	cmd.Env = append(os.Environ(), "DX_TEST_HELPER=no-new-calls")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestOpenPTYRefuses") {
		t.Errorf("these tests without the calls of newer kernels: %v\n%s", err, out)
	}
}

func TestNullIsTheContainers(t *testing.T) {
	noLeaks(t)
	inMountNamespace(t, func() {
		r := newRootfs(t)
		r.mknod("dev/null", unix.S_IFCHR, 1, 3)
		f, err := openNull(openRoot(t, r.dir))
		r.ok(err)
		defer f.Close()
		var got, node unix.Stat_t
		r.ok(unix.Fstat(int(f.Fd()), &got))
		r.ok(unix.Stat(r.path("dev/null"), &node))
		if got.Dev != node.Dev || got.Ino != node.Ino {
			t.Errorf("descriptor is %d:%d, /dev/null of the root %d:%d", got.Dev, got.Ino, node.Dev, node.Ino)
		}
		if flags, _ := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0); flags&unix.O_ACCMODE != unix.O_RDONLY {
			t.Errorf("flags %#o, want read-only as in docker exec", flags)
		}
	})
}

// TestNullOfTheHostIsFrozen: where the container has no null device, it gets the
// host's without the right to change it.
func TestNullOfTheHostIsFrozen(t *testing.T) {
	for name, prepare := range map[string]func(hostileRoot){
		"missing":    func(r hostileRoot) {},
		"file":       func(r hostileRoot) { r.write("dev/null") },
		"symlink":    func(r hostileRoot) { r.symlink("/dev/zero", "dev/null") },
		"fifo":       func(r hostileRoot) { r.mknod("dev/null", unix.S_IFIFO, 0, 0) },
		"zero":       func(r hostileRoot) { r.mknod("dev/null", unix.S_IFCHR, 1, 5) },
		"dev a fifo": func(r hostileRoot) { r.ok(os.Remove(r.path("dev"))); r.mknod("dev", unix.S_IFIFO, 0, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			noLeaks(t)
			inMountNamespace(t, func() {
				r := newRootfs(t)
				prepare(r)
				checkFrozen(r)
			})
		})
	}
}

func checkFrozen(r hostileRoot) {
	t := r.t
	f, err := openNull(openRoot(t, r.dir))
	r.ok(err)
	defer f.Close()
	var got, host unix.Stat_t
	r.ok(unix.Fstat(int(f.Fd()), &got))
	r.ok(unix.Stat("/dev/null", &host))
	if got.Dev != host.Dev || got.Ino != host.Ino {
		t.Errorf("descriptor is %d:%d, the host's /dev/null %d:%d", got.Dev, got.Ino, host.Dev, host.Ino)
	}
	if b, err := io.ReadAll(f); err != nil || len(b) != 0 {
		t.Errorf("read %q, %v", b, err)
	}
	if os.Getenv("DX_TEST_HELPER") != "" {
		return // before 5.12 it cannot be frozen
	}
	// The mode that it has: harmless if the test fails.
	if err := f.Chmod(fs.FileMode(host.Mode & 0o777)); !errors.Is(err, unix.EROFS) {
		t.Errorf("chmod of the host's /dev/null: %v, want EROFS", err)
	}
}
