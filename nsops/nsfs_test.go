package nsops

import (
	"errors"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

func TestHandleIsWhatItsPathMeans(t *testing.T) {
	for _, typ := range Types {
		path := "/proc/self/ns/" + string(typ)
		var st unix.Stat_t
		if err := unix.Stat(path, &st); err != nil {
			continue // not in this kernel
		}
		h, err := OpenPath(path)
		if err != nil {
			t.Fatal(err)
		}
		if want := (ID{Device: st.Dev, Inode: st.Ino}); h.ID != want || h.Type != typ {
			t.Errorf("%s: %s %v, want %v", path, h.Type, h.ID, want)
		}
		if _, err := h.Parent(); typ != PID && typ != User && !errors.Is(err, unix.EINVAL) {
			t.Errorf("parent of a %s namespace: %v, want EINVAL (ioctl_nsfs(2))", typ, err)
		}
		h.Close()
	}
}

func TestOwnerIsTheUserNamespace(t *testing.T) {
	h, err := OpenPath("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	owner, err := h.Owner()
	if errors.Is(err, ErrNotVisible) {
		t.Skip("the network namespace belongs to a user namespace above the test's")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer owner.Close()
	if owner.Type != User {
		t.Errorf("owner is a %s namespace", owner.Type)
	}
	if _, err := owner.OwnerUID(); err != nil {
		t.Error(err)
	}
}

func TestOtherFilesAreNoNamespaces(t *testing.T) {
	for _, path := range []string{"/dev/null", "/proc/self/ns", "/proc/self/stat", t.TempDir()} {
		if _, err := OpenPath(path); !errors.Is(err, ErrNotNamespace) {
			t.Errorf("%s: %v, want that it is no namespace", path, err)
		}
	}
	// A FIFO would keep an open(2) waiting.
	fifo := t.TempDir() + "/fifo"
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenPath(fifo); !errors.Is(err, ErrNotNamespace) {
		t.Errorf("fifo: %v", err)
	}
	if _, err := OpenPath("/nosuch"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing: %v", err)
	}
}

func TestParseLink(t *testing.T) {
	self, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/net", &st); err != nil {
		t.Fatal(err)
	}
	if typ, n, ok := ParseLink(self); !ok || typ != Net || n != st.Ino {
		t.Errorf("%s is parsed as %v %d (%v), want net and its inode %d", self, typ, n, ok, st.Ino)
	}
	for _, bad := range []string{
		"", "net", "net:[]", "net:[x]", "net:[1", "nat:[1]", "net:1", "net:[1] ", "net:1]", "pipe:[1]",
		"/net:[1]", "net:[-1]", "net:[1] (deleted)", "net:[99999999999999999999]",
	} {
		if typ, n, ok := ParseLink(bad); ok {
			t.Errorf("%q is parsed as %s %d, want it refused", bad, typ, n)
		}
	}
}
