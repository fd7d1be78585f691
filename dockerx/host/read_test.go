package host

import (
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/await"
)

func hostileDir(t *testing.T) *os.File {
	t.Helper()
	dir := t.TempDir()
	path := func(name string) string { return filepath.Join(dir, name) }
	write := func(name, data string) {
		if err := os.WriteFile(path(name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("regular", "yes")
	write("huge", "")
	if err := os.Truncate(path("huge"), maxFile+1); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(path("fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	for link, target := range map[string]string{"link": "regular", "climbing": "/../../../../regular", "loop": "loop"} {
		if err := os.Symlink(target, path(link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(path("dir"), 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", path("socket"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestReadFileTakesRegularFilesOnly(t *testing.T) {
	dir := handle{fd: int(hostileDir(t).Fd()), path: "/bundle"}
	await.Returns(t, "a read of hostile files", func() {
		if b, err := dir.read("regular"); string(b) != "yes" || err != nil {
			t.Errorf("regular: %q, %v", b, err)
		}
		for _, name := range []string{"fifo", "link", "loop", "socket", "dir"} {
			if b, err := dir.read(name); !errors.Is(err, ErrNotRegular) || !strings.Contains(err.Error(), "/bundle/"+name) {
				t.Errorf("%s: %q, %v, want an error that names it and says that it is no regular file", name, b, err)
			}
		}
		if _, err := dir.read("huge"); err == nil || !strings.Contains(err.Error(), "larger than 8 MiB") {
			t.Errorf("huge: %v", err)
		}
		if _, err := dir.read("absent"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("absent: %v", err)
		}
	})
}

// TestReadInFollowsNoLink: neither the directory nor the file may be one, nor lead out.
func TestReadInFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	for _, step := range []error{
		os.MkdirAll(dir+"/in/sub", 0o755), os.WriteFile(dir+"/in/sub/file", []byte("yes"), 0o600), os.WriteFile(dir+"/out", []byte("no"), 0o600),
		os.Symlink("sub", dir+"/in/linked"), os.Symlink("file", dir+"/in/sub/link"), os.Symlink("../../out", dir+"/in/sub/away"), unix.Mkfifo(dir+"/in/sub/fifo", 0o600),
	} {
		if step != nil {
			t.Fatal(step)
		}
	}
	fd, err := unix.Open(dir+"/in", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	h := handle{fd: fd, path: dir + "/in"}
	defer h.close()
	if b, err := h.readIn("sub", "file"); err != nil || string(b) != "yes" {
		t.Errorf("sub/file is %q, %v", b, err)
	}
	for _, bad := range [][2]string{{"linked", "file"}, {"sub", "link"}, {"sub", "away"}, {"sub", "fifo"}, {"sub", "none"}, {"none", "file"}} {
		if b, err := h.readIn(bad[0], bad[1]); err == nil {
			t.Errorf("%s/%s is read: %q", bad[0], bad[1], b)
		}
	}
}

func TestReadInRootStaysInside(t *testing.T) {
	dir := hostileDir(t)
	await.Returns(t, "a read of hostile files", func() {
		for _, name := range []string{"/regular", "/link", "/climbing", "/dir/../../regular"} {
			if b, err := ReadInRoot(dir, name); string(b) != "yes" || err != nil {
				t.Errorf("%s beneath the root: %q, %v, want yes", name, b, err)
			}
		}
		for _, name := range []string{"/fifo", "/socket", "/dir"} {
			if b, err := ReadInRoot(dir, name); !errors.Is(err, ErrNotRegular) {
				t.Errorf("%s: %q, %v, want that it is no regular file", name, b, err)
			}
		}
		for _, name := range []string{"/loop", "/huge"} {
			if b, err := ReadInRoot(dir, name); err == nil {
				t.Errorf("%s: %d bytes", name, len(b))
			}
		}
	})
}
