package tools

import (
	"archive/tar"
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func archive(t testing.TB, headers ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		content := []byte("content of " + h.Name)
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(content))
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write(content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// unpackIn unpacks into dir/root; dir has nothing else.
func unpackIn(t testing.TB, dir string, b []byte) error {
	t.Helper()
	if err := os.Mkdir(dir+"/root", 0o755); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir + "/root")
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	return unpack(root, bytes.NewReader(b))
}

func TestUnpack(t *testing.T) {
	dir := t.TempDir()
	err := unpackIn(t, dir, archive(t,
		tar.Header{Typeflag: tar.TypeReg, Name: "./bin/tool", Mode: 0o4700},
		tar.Header{Typeflag: tar.TypeReg, Name: "etc/file", Mode: 0o600},
		tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/link", Linkname: "tool"},
		tar.Header{Typeflag: tar.TypeLink, Name: "bin/hard", Linkname: "./bin/tool"},
		tar.Header{Typeflag: tar.TypeBlock, Name: "dev/sda", Mode: 0o666},
		tar.Header{Typeflag: tar.TypeDir, Name: "closed/", Mode: 0},
		tar.Header{Typeflag: tar.TypeReg, Name: "/bin/tool", Mode: 0o755},
	))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fs.FileMode{"bin/tool": 0o755, "etc/file": 0o644, "bin/hard": 0o755, "closed": fs.ModeDir | 0o755, "bin/link": 0o755} {
		if st, err := os.Stat(dir + "/root/" + name); err != nil || st.Mode() != want {
			t.Errorf("%s: %v %v, want %v", name, st, err, want)
		}
	}
	if _, err := os.Lstat(dir + "/root/dev/sda"); err == nil {
		t.Error("a device was made")
	}
}

func TestUnpackStaysInside(t *testing.T) {
	for name, b := range map[string][]byte{
		"dots":      archive(t, tar.Header{Typeflag: tar.TypeReg, Name: "../out", Mode: 0o755}),
		"deep dots": archive(t, tar.Header{Typeflag: tar.TypeReg, Name: "a/../../out", Mode: 0o755}),
		"link": archive(t, tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: ".."},
			tar.Header{Typeflag: tar.TypeReg, Name: "a/out", Mode: 0o755}),
		"file link": archive(t, tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "../out"},
			tar.Header{Typeflag: tar.TypeReg, Name: "a", Mode: 0o755}),
		"absolute link": archive(t, tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: t.TempDir()},
			tar.Header{Typeflag: tar.TypeReg, Name: "a/out", Mode: 0o755}),
		"hard link": archive(t, tar.Header{Typeflag: tar.TypeLink, Name: "a", Linkname: "../../../../etc/passwd"}),
	} {
		dir := t.TempDir()
		err := unpackIn(t, dir, b)
		entries, _ := os.ReadDir(dir)
		if len(entries) != 1 {
			t.Errorf("%s: wrote outside: %v", name, entries)
		}
		if err == nil && name != "file link" {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestUnpackBounds(t *testing.T) {
	sparse := archive(t, tar.Header{Typeflag: tar.TypeReg, Name: "a", Mode: 0o644})
	for n := range 3 {
		if err := unpackIn(t, t.TempDir(), sparse[:len(sparse)-1024-n*512]); err == nil && n > 0 {
			t.Errorf("an archive cut by %d blocks is taken", n)
		}
	}
	if err := unpackIn(t, t.TempDir(), nil); err == nil {
		t.Error("an empty file is taken for an archive")
	}
	long := archive(t, tar.Header{Typeflag: tar.TypeDir, Name: strings.Repeat("a/", 4096), Mode: 0o755})
	if err := unpackIn(t, t.TempDir(), long); err == nil {
		t.Error("a name of 8 KiB is taken")
	}
}

// FuzzUnpack: whatever the archive, nothing is written outside, and no file has
// rights that others do not.
func FuzzUnpack(f *testing.F) {
	f.Add(archive(f, tar.Header{Typeflag: tar.TypeReg, Name: "a/b", Mode: 0o755}))
	f.Add(archive(f, tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: ".."}, tar.Header{Typeflag: tar.TypeReg, Name: "a/x", Mode: 0o4755}))
	f.Add(archive(f, tar.Header{Typeflag: tar.TypeLink, Name: "a", Linkname: "../x"}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 64<<10 {
			return
		}
		dir := t.TempDir()
		_ = unpackIn(t, dir, b)
		if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
			t.Fatalf("outside: %v %v", entries, err)
		}
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			if m := d.Type(); !m.IsDir() && !m.IsRegular() && m != fs.ModeSymlink {
				t.Errorf("%s is a %v", path, m)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}
