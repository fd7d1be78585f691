package rootfs

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReadDir: the names that os.ReadDir has, links followed beneath the root only.
func TestReadDir(t *testing.T) {
	top := t.TempDir()
	if err := os.MkdirAll(filepath.Join(top, "usr/bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, name := range []string{"ls", "sh", "a b", "\x1b[31m", "-rf"} {
		want = append(want, name)
		if err := os.WriteFile(filepath.Join(top, "usr/bin", name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(want)
	for link, to := range map[string]string{"bin": "usr/bin", "abs": "/usr/bin", "up": "../../../usr/bin"} {
		if err := os.Symlink(to, filepath.Join(top, link)); err != nil {
			t.Fatal(err)
		}
	}
	r := rootAt(t, top)
	for _, dir := range []string{"/usr/bin", "bin", "/abs", "/up"} {
		got, err := r.ReadDir(dir)
		slices.Sort(got)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v, want %q", dir, got, err, want)
		}
	}
	for dir, want := range map[string]error{"/nosuch": unix.ENOENT, "/usr/bin/sh": unix.ENOTDIR} {
		if _, err := r.ReadDir(dir); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", dir, err, want)
		}
	}
}

// TestReadDirIsBounded: a directory of a container's has as many names as it likes.
func TestReadDirIsBounded(t *testing.T) {
	top := t.TempDir()
	for i := range MaxNames + 10 {
		name := filepath.Join(top, string(rune('a'+i%26))+filepath.Base(top)+"-"+string([]rune{rune(0x4e00 + i)}))
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := rootAt(t, top).ReadDir("/"); err != nil || len(got) != MaxNames {
		t.Errorf("%d names, %v, want %d", len(got), err, MaxNames)
	}
}
