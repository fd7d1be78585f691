package doctor

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestBundleFile: with and without a name until it is whole; nothing is left beside it,
// and nothing replaced.
func TestBundleFile(t *testing.T) {
	for what, create := range map[string]func(string) (*BundleFile, error){"unnamed": CreateBundle, "named": createNamed} {
		t.Run(what, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "b")
			for _, commit := range []bool{false, true} {
				b, err := create(name)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := b.WriteString("whole"); err != nil {
					t.Fatal(err)
				}
				if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("it has its name before it is whole: %v", err)
				}
				if commit {
					if err := b.Commit(); err != nil {
						t.Fatal(err)
					}
				}
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
			}
			st, err := os.Lstat(name)
			if err != nil || st.Mode() != 0o600 || st.Size() != 5 {
				t.Errorf("%v %v", st, err)
			}
			if list, err := os.ReadDir(filepath.Dir(name)); err != nil || len(list) != 1 {
				t.Errorf("%v is left, %v", list, err)
			}
			if b, err := CreateBundle(name); !errors.Is(err, fs.ErrExist) {
				t.Errorf("it would be replaced: %v %v", b, err)
			}
		})
	}
}

// TestBundleFileTaken: somebody takes the name while the bundle is written.
func TestBundleFileTaken(t *testing.T) {
	for what, create := range map[string]func(string) (*BundleFile, error){"unnamed": CreateBundle, "named": createNamed} {
		dir := t.TempDir()
		b, err := create(dir + "/b")
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink("made", dir+"/b"); err != nil {
			t.Fatal(err)
		}
		if err := b.Commit(); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: it replaces a link: %v", what, err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if list, err := os.ReadDir(dir); err != nil || len(list) != 1 || list[0].Type()&fs.ModeSymlink == 0 {
			t.Errorf("%s: %v %v", what, list, err)
		}
	}
}

func createNamed(name string) (*BundleFile, error) {
	dir, err := os.OpenFile(filepath.Dir(name), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	b := &BundleFile{dir: dir, name: filepath.Base(name)}
	return b, b.openNamed()
}
