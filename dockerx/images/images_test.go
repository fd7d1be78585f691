package images

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"dx/dockerx/docker"
)

const (
	idA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	idB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

const repositories = `{"Repositories":{
	"busybox":{"busybox:latest":"sha256:` + idA + `","busybox:1.36":"sha256:` + idB + `","busybox@sha256:` + idB + `":"sha256:` + idB + `"},
	"localhost:5000/x/y":{"localhost:5000/x/y:latest":"sha256:` + idB + `"},
	"bad":{"bad:latest":"sha256:../../etc"}}}`

func TestParseRepositories(t *testing.T) {
	for ref, want := range map[string]string{
		"busybox": idA, "busybox:latest": idA, "busybox:1.36": idB, "docker.io/library/busybox:1.36": idB, "library/busybox": idA,
		"busybox@sha256:" + idB: idB, "localhost:5000/x/y": idB, "sha256:" + idB: idB,
		"nosuch": "", "busybox:nosuch": "", "": "", ":": "", "bad": "", "sha256:x": "",
	} {
		got, err := parseRepositories([]byte(repositories), ref)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q %v, want %q", ref, got, err, want)
		}
	}
	if _, err := parseRepositories([]byte(repositories), "nosuch"); !errors.Is(err, ErrNoImage) {
		t.Error(err)
	}
}

// The expected chain ID is the example of sha256sum: printf 'sha256:a… sha256:b…' | sha256sum.
func TestParseChain(t *testing.T) {
	config := `{"rootfs":{"type":"layers","diff_ids":["sha256:` + idA + `","sha256:` + idB + `"]}}`
	got, err := parseChain([]byte(config))
	want := []string{"ccd722928bd92476ba1745586fed6e45a102504185ad88cd89e01ff116fd146c", idA}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v %v, want %v", got, err, want)
	}
	for _, bad := range []string{"", "{}", `{"rootfs":{"diff_ids":["sha256:../x"]}}`, `{"rootfs":{"diff_ids":["` + idA + `"]}}`} {
		if got, err := parseChain([]byte(bad)); err == nil {
			t.Errorf("%q gives %v", bad, got)
		}
	}
}

// dataRoot writes an image store of one layer.
func dataRoot(t *testing.T, cacheID string) (*os.File, string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"image/overlay2/repositories.json":                   repositories,
		"image/overlay2/imagedb/content/sha256/" + idA:       `{"rootfs":{"diff_ids":["sha256:` + idB + `"]}}`,
		"image/overlay2/layerdb/sha256/" + idB + "/cache-id": cacheID,
		"overlay2/cafe/diff/tool":                            "",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f, dir
}

func TestLayers(t *testing.T) {
	f, dir := dataRoot(t, "cafe")
	got, err := layersIn(f, dir, "busybox")
	if err != nil || !slices.Equal(got, []string{dir + "/overlay2/cafe/diff"}) {
		t.Errorf("the layers are %v, %v, want the one of cafe", got, err)
	}
	// The same paths mean other directories here.
	if got, err := layersIn(f, t.TempDir(), "busybox"); err == nil {
		t.Errorf("layers of another mount namespace: %v", got)
	}
	for _, bad := range []string{"", "../x", "a/b", "nosuch"} {
		f, dir := dataRoot(t, bad)
		if got, err := layersIn(f, dir, "busybox"); err == nil {
			t.Errorf("cache-id %q gives %v", bad, got)
		}
	}
}

func FuzzParseRepositories(f *testing.F) {
	f.Add(repositories, "busybox")
	f.Add(repositories, "busybox@sha256:"+idB)
	f.Fuzz(func(t *testing.T, data, ref string) {
		if id, err := parseRepositories([]byte(data), ref); err == nil && !docker.IsID(id) {
			t.Errorf("%q is taken for an ID of an image", id)
		}
	})
}

func FuzzParseChain(f *testing.F) {
	f.Add(`{"rootfs":{"diff_ids":["sha256:` + idA + `","sha256:` + idB + `"]}}`)
	f.Fuzz(func(t *testing.T, data string) {
		chain, err := parseChain([]byte(data))
		if err == nil && (len(chain) == 0 || slices.ContainsFunc(chain, func(id string) bool { return !docker.IsID(id) })) {
			t.Errorf("the chain %v is taken, want IDs only, and one at least", chain)
		}
	})
}
