package standin

import (
	"fmt"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// SilentMount mounts a file system whose server is the test, which never reads a request:
// INIT stays unanswered, and whoever asks waits for it. Only the goroutine of the test, and
// what it starts, sees the mount: for that it keeps a thread, in a mount namespace of its own.
func SilentMount(t testing.TB) (dir string) {
	t.Helper()
	NeedRoot(t)
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skipf("no FUSE here: %v", err)
	}
	dir = t.TempDir()
	runtime.LockOSThread() // without an unlock: the thread ends with the test
	Must(t, unix.Unshare(unix.CLONE_NEWNS|unix.CLONE_FS))
	Must(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	if err := unix.Mount("silent", dir, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0", fd)); err != nil {
		unix.Close(fd)
		t.Skipf("FUSE cannot be mounted here: %v", err)
	}
	t.Cleanup(func() {
		unix.Close(fd) // aborts the connection: whoever waits gets an error
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}
