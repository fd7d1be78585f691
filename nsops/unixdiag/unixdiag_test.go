package unixdiag

import (
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// TestSockets: a listener that accepts nobody, and what the kernel says of it.
func TestSockets(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 5); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	// Its name and its file stay known when the file is gone.
	os.Remove(path)
	s := find(t, path)
	if !s.Listening || s.Waiting != 3 || s.Backlog != 5 {
		t.Errorf("%+v, want 3 of 5 waiting", s)
	}
	if want := info.Sys().(*syscall.Stat_t).Ino; uint64(s.FileInode) != want {
		t.Errorf("file inode %d, stat says %d", s.FileInode, want)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Ino != uint64(s.Inode) {
		t.Errorf("inode %d, fstat says %d %v", s.Inode, st.Ino, err)
	}
}

func find(t *testing.T, name string) Socket {
	t.Helper()
	list, err := Sockets()
	if err != nil {
		t.Skipf("no unix_diag here: %v", err)
	}
	for _, s := range list {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("no socket %s among %d", name, len(list))
	return Socket{}
}

func FuzzParse(f *testing.F) {
	f.Add(request())
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		_, _ = Parse(b, func(Socket) { n++ })
		if n > len(b)/messageSize {
			t.Errorf("%d sockets in %d bytes", n, len(b))
		}
	})
}
