package host

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dx/nsops/overlay"
)

// madeStore is a data root with files as dockerd makes them.
func madeStore(t *testing.T, id string, files map[string]string) *Store {
	t.Helper()
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "containers", id), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			err = os.Symlink(to, name)
		} else {
			err = os.WriteFile(name, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	dir, err := os.Open(filepath.Join(root, "containers"))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	s, err := openStore(handle{fd: int(dir.Fd()), path: dir.Name()}, id)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func layersOf(t *testing.T, s *Store) (string, error) {
	t.Helper()
	l, err := s.Layers()
	if err != nil {
		return "", err
	}
	defer l.Close()
	c, err := overlay.Compare(l)
	if err != nil {
		return "", err
	}
	var out []string
	for _, one := range c.List {
		out = append(out, string(one.Kind)+" "+one.Path)
	}
	return strings.Join(out, ", "), nil
}

func TestStoreLayers(t *testing.T) {
	id := strings.Repeat("ab", 32)
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"overlay2": {map[string]string{
			"image/overlay2/layerdb/mounts/" + id + "/mount-id": "top",
			"overlay2/top/lower": "l/INIT:l/BASE", "overlay2/l/INIT": "-> ../top-init/diff", "overlay2/l/BASE": "-> ../base/diff",
			"overlay2/top/diff/new": "x", "overlay2/top-init/diff/etc/hosts": "", "overlay2/base/diff/etc/passwd": "root",
			"overlay2/top/diff/etc/more": "x",
		}, "C /etc, A /etc/more, A /new"},
		"vfs": {map[string]string{
			"image/vfs/layerdb/mounts/" + id + "/mount-id": "top", "image/vfs/layerdb/mounts/" + id + "/init-id": "top-init",
			"vfs/dir/top/new": "x", "vfs/dir/top-init/old": "x",
		}, "A /new, D /old"},
	} {
		if got, err := layersOf(t, madeStore(t, id, c.files)); err != nil || got != c.want {
			t.Errorf("%s: %s, %v, want %s", name, got, err, c.want)
		}
	}
}

func TestStoreLayersRefused(t *testing.T) {
	id := strings.Repeat("ab", 32)
	mount := "/layerdb/mounts/" + id + "/mount-id"
	var driver *DriverError
	_, err := layersOf(t, madeStore(t, id, map[string]string{"image/btrfs" + mount: "top"}))
	if !errors.As(err, &driver) || driver.Driver != "btrfs" {
		t.Errorf("btrfs: %v", err)
	}
	_, err = layersOf(t, madeStore(t, id, map[string]string{"image/overlay2/repositories.json": "{}"}))
	if !errors.As(err, &driver) || driver.Driver != "" {
		t.Errorf("no layers of dockerd's own: %v", err)
	}
	for _, bad := range []string{"", "..", "a/b", "../../etc"} {
		if got, err := layersOf(t, madeStore(t, id, map[string]string{"image/overlay2" + mount: bad, "overlay2/top/diff/x": ""})); err == nil {
			t.Errorf("the mount ID %q leads to %s", bad, got)
		}
	}
	// A link of the data root leads nowhere out of it.
	outside := t.TempDir()
	got, err := layersOf(t, madeStore(t, id, map[string]string{
		"image/overlay2" + mount: "top", "overlay2/top/lower": "l/OUT", "overlay2/l/OUT": "-> " + outside, "overlay2/top/diff/x": "",
	}))
	if !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a layer outside of the data root: %s, %v", got, err)
	}
}

func TestOverlayOptions(t *testing.T) {
	for options, want := range map[string][]string{
		"rw,lowerdir=l/A:l/B,upperdir=/d/x/diff,workdir=/d/x/work": {"/d/x/diff", "l/A", "l/B"},
		`rw,upperdir=/a\,b,lowerdir=/c\:d:/e`:                      {"/a,b", "/c:d", "/e"},
		"ro,lowerdir=/a::/b":                                       {"", "/a", "/b"},
		"":                                                         {""},
	} {
		upper, lower, user := overlayOptions(options)
		if diff := cmp.Diff(want, append([]string{upper}, lower...)); diff != "" || user {
			t.Errorf("%s (-want +got):\n%s", options, diff)
		}
	}
	if _, _, user := overlayOptions("rw,userxattr"); !user {
		t.Error("userxattr is not seen")
	}
	if got := linksOfLayers("/var/lib/docker/overlay2/x/diff"); got != "/var/lib/docker/overlay2" {
		t.Error(got)
	}
}

func FuzzOverlayOptions(f *testing.F) {
	f.Add(`rw,lowerdir=/a\:b:/c,upperdir=/u\,v`)
	f.Fuzz(func(t *testing.T, options string) {
		_, lower, _ := overlayOptions(options)
		if len(lower) > maxLayers || slices.Contains(lower, "") && !strings.Contains(options, `\`) {
			t.Errorf("%q", lower)
		}
	})
}
