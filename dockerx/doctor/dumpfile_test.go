package doctor

import (
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// TestOpenDumpDir: whoever could exchange the directory, or what leads to it, would
// choose where a daemon writes.
func TestOpenDumpDir(t *testing.T) {
	top := t.TempDir()
	for dir, mode := range map[string]uint32{"/safe": 0o755, "/safe/dir": 0o700, "/open": 0o777, "/open/dir": 0o700, "/shared": 0o777 | unix.S_ISVTX, "/shared/dir": 0o700} {
		if err := os.MkdirAll(top+dir, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := unix.Chmod(top+dir, mode); err != nil {
			t.Fatal(err)
		}
	}
	for link, target := range map[string]string{"/safe/up": "../shared/./dir", "/shared/abs": top + "/safe/dir", "/safe/loop": "loop", "/shared/his": top + "/safe/dir", "/safe/open": "../open/dir"} {
		if err := os.Symlink(target, top+link); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 {
		if err := os.Lchown(top+"/shared/his", 54321, 54321); err != nil {
			t.Fatal(err)
		}
	}
	self, err := proc.Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	for _, test := range []struct {
		dir    string
		sticky bool
		want   string // of the error
		root   bool   // only root can make it so
	}{
		{"/safe/dir", false, "", false}, {"/safe/up", false, "", false}, {"/shared/abs", false, "", false},
		{"/shared", true, "", false}, {"/shared/dir/../../shared//", true, "", false},
		{"/shared", false, "others may write", false}, {"/open", true, "others may write", false}, {"/open/dir", false, "others may write", false},
		{"/safe/open", false, "others may write", false}, {"/safe/loop", false, "too many", false}, {"/safe/none", false, "no such file", false},
		{"/shared/his", false, "belongs to uid 54321", true},
	} {
		if test.root && os.Geteuid() != 0 {
			continue
		}
		dir, err := openDumpDir(self, top+test.dir, test.sticky)
		if err == nil {
			dir.Close()
		}
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", test.dir, err, test.want)
		}
	}
	if _, err := openDumpDir(self, "tmp", true); err == nil || !strings.Contains(err.Error(), "no signal") {
		t.Errorf("a relative path: %v", err)
	}
}

// TestOpenOwn: what is read as a daemon's dump is a regular file of dx's own user with one
// name, which nobody else may write. One thing is wrong at a time.
func TestOpenOwn(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(dir+"/"+name, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir+"/"+name, mode); err != nil {
			t.Fatal(err)
		}
	}
	for name, mode := range map[string]os.FileMode{"own": 0o644, "group": 0o664, "others": 0o646, "first": 0o644, "his": 0o644} {
		file(name, mode)
	}
	want := map[string]string{
		"own": "", "group": "others may write it", "others": "others may write it", "first": "it has 2 names", "second": "it has 2 names",
		"link": "not a regular file", "fifo": "not a regular file", "directory": "not a regular file", "none": "no such file",
	}
	for _, err := range []error{
		os.Link(dir+"/first", dir+"/second"), os.Symlink("own", dir+"/link"), unix.Mkfifo(dir+"/fifo", 0o600), os.Mkdir(dir+"/directory", 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(dir+"/his", 54321, 54321); err != nil {
			t.Fatal(err)
		}
		want["his"] = "it belongs to uid 54321"
	}
	at, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer at.Close()
	for name, reason := range want {
		f, err := openOwn(at, name)
		if err == nil {
			f.Close()
		}
		if (err == nil) != (reason == "") || err != nil && !strings.Contains(err.Error(), reason) {
			t.Errorf("%s: %v, want %q", name, err, reason)
		}
	}
}

// TestDumpDirIsOwn: root's directory, or dx's own.
func TestDumpDirIsOwn(t *testing.T) {
	uid := uint32(os.Geteuid())
	for of, want := range map[uint32]bool{0: true, uid: true, uid + 1: false} {
		if got := own(&unix.Stat_t{Uid: of}); got != want {
			t.Errorf("uid %d: %v, want %v", of, got, want)
		}
	}
}
