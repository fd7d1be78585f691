package e2e

import (
	"bytes"
	"compress/gzip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestInstall lays dx out as `make install` does, looks at it with the eyes of others,
// and takes it away again.
func TestInstall(t *testing.T) {
	root := t.TempDir()
	dx := suite.Dx(t)
	packaging(t, "stage", root, "/opt/dx", dx, dx)
	at := func(name string) string { return filepath.Join(root, "opt/dx", name) }
	if b, err := exec.Command(at("bin/dx"), "--version").Output(); err != nil || !strings.HasPrefix(string(b), "dx version ") {
		t.Errorf("dx --version: %q, %v", b, err)
	}
	f, err := os.Open(at("share/man/man1/dx-exec.1.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if page, err := gzip.NewReader(f); err != nil || page.Name != "" || !page.ModTime.IsZero() {
		t.Errorf("the man page: %v, %v", page, err)
	}
	for shell, name := range map[string]string{"bash": "share/bash-completion/completions/dx", "zsh": "share/zsh/site-functions/_dx", "fish": "share/fish/vendor_completions.d/dx.fish"} {
		if _, err := exec.LookPath(shell); err != nil {
			continue
		}
		if b, err := exec.Command(shell, "-n", at(name)).CombinedOutput(); err != nil {
			t.Errorf("%s does not take %s: %v\n%s", shell, name, err, b)
		}
	}
	if b, err := exec.Command(at("libexec/docker/cli-plugins/docker-dx"), "docker-cli-plugin-metadata").Output(); err != nil || !bytes.Contains(b, []byte(`"Vendor"`)) {
		t.Errorf("docker dx: %q, %v", b, err)
	}
	packaging(t, "unstage", root, "/opt/dx")
	if b, err := exec.Command("find", root, "-not", "-type", "d").Output(); err != nil || len(b) > 0 {
		t.Errorf("left behind: %s%v", b, err)
	}
}

func packaging(t *testing.T, name string, args ...string) {
	t.Helper()
	if b, err := exec.Command(filepath.Join("../cmd/dx/packaging", name), args...).CombinedOutput(); err != nil {
		t.Fatalf("cmd/dx/packaging/%s: %v\n%s", name, err, b)
	}
}
