package callerfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/standin"
	"dx/nsops/launch"
)

const limit = 1 << 20

// places are directories on the host's root and behind a mount point, where they can
// be had.
func places(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, dir := range []string{t.TempDir(), "/dev/shm"} {
		dir, err := os.MkdirTemp(dir, "dx")
		if err != nil {
			t.Logf("no place: %v", err)
			continue
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
		how := "far"
		fd, err := unix.Openat2(unix.AT_FDCWD, dir, &unix.OpenHow{Flags: unix.O_PATH, Resolve: unix.RESOLVE_NO_XDEV})
		if err == nil {
			unix.Close(fd)
			how = "here"
		}
		out[how] = dir
	}
	return out
}

func TestRead(t *testing.T) {
	for how, dir := range places(t) {
		t.Run(how, func(t *testing.T) {
			content := strings.Repeat("0123456789abcdef", limit/32)
			name, fifo := filepath.Join(dir, "file"), filepath.Join(dir, "fifo")
			if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("file", filepath.Join(dir, "link")); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mkfifo(fifo, 0o644); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{name, filepath.Join(dir, "link"), dir + "/../" + filepath.Base(dir) + "/file"} {
				if b, err := Read(name, limit); err != nil || string(b) != content {
					t.Errorf("%s: %d bytes, %v; want %d", name, len(b), err, len(content))
				}
				if b, err := ReadStream(name, limit); err != nil || string(b) != content {
					t.Errorf("%s as a stream: %d bytes, %v; want %d", name, len(b), err, len(content))
				}
			}
			if _, err := Read(name, 100); err == nil {
				t.Error("a file larger than the limit is read")
			}
			for name, want := range map[string]error{fifo: ErrNotRegular, dir: ErrNotRegular, "/dev/zero": ErrNotRegular, dir + "/nowhere": fs.ErrNotExist, name + "/x": unix.ENOTDIR} {
				if _, err := Read(name, limit); !errors.Is(err, want) {
					t.Errorf("%s: %v, want %v", name, err, want)
				}
			}
			f, err := Open(name)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			b := make([]byte, 5)
			if _, err := f.ReadAt(b, 16*1000+3); err != nil || string(b) != "34567" {
				t.Errorf("%q, %v", b, err)
			}
			if n, err := f.ReadAt(b, int64(len(content))-2); n != 2 || !errors.Is(err, io.EOF) {
				t.Errorf("at the end: %d %v, want 2 and EOF", n, err)
			}
		})
	}
}

func TestReadStream(t *testing.T) {
	for how, dir := range places(t) {
		t.Run(how, func(t *testing.T) {
			fifo := filepath.Join(dir, "fifo")
			if err := unix.Mkfifo(fifo, 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := ReadStream(fifo, limit); err == nil || !strings.Contains(err.Error(), "nobody writes") {
				t.Errorf("a FIFO without a writer: %v", err)
			}
			// Whoever opens it for both sides waits for nobody.
			w, err := os.OpenFile(fifo, os.O_RDWR, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.WriteString("A=b\n"); err != nil {
				t.Fatal(err)
			}
			read := make(chan string)
			go func() {
				b, err := ReadStream(fifo, limit)
				read <- fmt.Sprintf("%s%v", b, err)
			}()
			// It is closed once the reader has taken what was in it: before, it would take that along.
			for n := 1; n > 0; {
				if n, err = unix.IoctlGetInt(int(w.Fd()), unix.TIOCINQ); err != nil {
					t.Fatal(err)
				}
			}
			w.Close()
			if got := <-read; got != "A=b\n<nil>" {
				t.Errorf("%q", got)
			}
		})
	}
	if b, err := ReadStream("/dev/null", limit); err != nil || len(b) != 0 {
		t.Errorf("/dev/null: %q %v", b, err)
	}
}

// What a shell's <(…) hands over is a pipe by its number.
func TestOwnDescriptors(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := w.WriteString("from a pipe"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("from a file"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, dir := range []string{"/dev/fd", "/proc/self/fd"} {
		if b, err := ReadStream(fmt.Sprintf("%s/%d", dir, f.Fd()), limit); err != nil || string(b) != "from a file" {
			t.Errorf("%s: %q %v", dir, b, err)
		}
	}
	if b, err := ReadStream(fmt.Sprintf("/dev/fd/%d", r.Fd()), limit); err != nil || string(b) != "from a pipe" {
		t.Errorf("%q %v", b, err)
	}
	if _, err := ReadStream("/dev/fd/999", limit); !errors.Is(err, unix.EBADF) {
		t.Errorf("a descriptor that is not open: %v", err)
	}
}

// A file system that never answers is an error.
func TestSilent(t *testing.T) {
	if _, err := Read(standin.SilentMount(t)+"/config.json", limit); !errors.Is(err, launch.ErrSilent) {
		t.Errorf("%v, want %v", err, launch.ErrSilent)
	}
}

// TestReadOf: a file counts by its own owner, wherever a link has led.
func TestReadOf(t *testing.T) {
	name := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(name, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := name + "-link"
	if err := os.Symlink("f", link); err != nil {
		t.Fatal(err)
	}
	own := uint32(os.Geteuid())
	for _, path := range []string{name, link} {
		if b, err := ReadOf(own, path, 10); err != nil || string(b) != "text" {
			t.Errorf("%s: %q, %v", path, b, err)
		}
		var owner *OwnerError
		if b, err := ReadOf(own+1, path, 10); !errors.As(err, &owner) || owner.UID != own {
			t.Errorf("%s as another's: %q, %v, want that it is not his", path, b, err)
		}
	}
}
