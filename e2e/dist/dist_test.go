// Package dist tests what is published: built twice to the same bytes, and installed,
// listed and removed with the tools of each kind of package. It takes minutes, and runs
// with `make e2e-dist`.
package dist

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
)

// askedEnv is set by `make e2e-dist`.
const askedEnv = "DX_TEST_DIST"

// TestDist builds once and looks at all of it; the second build has to be the same.
func TestDist(t *testing.T) {
	if os.Getenv(askedEnv) == "" {
		t.Skip("skipped: this builds all packages twice; make e2e-dist runs it, or " + askedEnv + "=1")
	}
	out := build(t)
	run(t, out, "sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS")
	t.Run("reproducible", func(t *testing.T) {
		want, got := read(t, filepath.Join(out, "SHA256SUMS")), read(t, filepath.Join(build(t), "SHA256SUMS"))
		if got != want {
			t.Errorf("two builds differ:\n%s\n%s", want, got)
		}
	})
	t.Run("tarball", func(t *testing.T) { testTarball(t, one(t, out, "dx-*-linux-"+runtime.GOARCH+".tar.gz")) })
	t.Run("deb", func(t *testing.T) { testDeb(t, one(t, out, "dx_*_"+runtime.GOARCH+".deb")) })
	t.Run("fresh Debian", func(t *testing.T) { testFresh(t, one(t, out, "dx_*_"+runtime.GOARCH+".deb")) })
	t.Run("rpm", func(t *testing.T) { testRPM(t, one(t, out, "dx_*_"+runtime.GOARCH+".rpm")) })
	t.Run("apk", func(t *testing.T) { testAPK(t, one(t, out, "dx_*_"+runtime.GOARCH+".apk")) })
	t.Run("other architecture", func(t *testing.T) {
		if got := run(t, out, "dpkg-deb", "--field", one(t, out, "dx_*_arm64.deb"), "Architecture"); got != "arm64\n" {
			t.Errorf("architecture %q", got)
		}
	})
}

// build makes everything in a directory of its own, with a umask and a time zone that
// must not matter.
func build(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "dist")
	cmd := exec.Command("sh", "-c", `umask 077; TZ=Asia/Tokyo exec ../../cmd/dx/packaging/build "$1"`, "sh", out)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cmd/dx/packaging/build: %v\n%s", err, b)
	}
	return out
}

func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s%s", name, args, err, out, &stderr)
	}
	return string(out)
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// one is the only file of that pattern.
func one(t *testing.T, dir, pattern string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(files) != 1 {
		t.Fatalf("%s: %q, %v, want one file", pattern, files, err)
	}
	return files[0]
}

// need skips without a program, but where CI promises it.
func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("CI promises %s: %v", program, err)
		}
		t.Skipf("needs %s: %v", program, err)
	}
}

func testTarball(t *testing.T, file string) {
	dir := t.TempDir()
	run(t, dir, "tar", "-xzf", file)
	at := filepath.Join(dir, strings.TrimSuffix(filepath.Base(file), ".tar.gz"))
	for _, name := range []string{"LICENSE", "README.md", "man/dx.1", "man/dx-exec.1", "completions/dx.bash", "completions/_dx", "completions/dx.fish", "completions/dx.ps1", "sbom.cdx.json"} {
		if info, err := os.Stat(filepath.Join(at, name)); err != nil || info.Size() == 0 || info.Mode().Perm() != 0o644 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	runs(t, filepath.Join(at, "dx"))
	// What Go itself says is linked, `go version -m`, is what the SBOM has.
	sbom := read(t, filepath.Join(at, "sbom.cdx.json"))
	modules := 0
	for line := range strings.Lines(run(t, dir, "go", "version", "-m", filepath.Join(at, "dx"))) {
		if f := strings.Fields(line); len(f) >= 3 && f[0] == "dep" {
			modules++
			if purl := "pkg:golang/" + f[1] + "@"; !strings.Contains(sbom, purl) {
				t.Errorf("the SBOM lacks %s", purl)
			}
		}
	}
	if modules < 20 {
		t.Errorf("dx links %d modules only", modules)
	}
}

// runs checks that it is one static file that bears the commit of this tree.
func runs(t *testing.T, dx string) {
	t.Helper()
	commit := strings.TrimSpace(run(t, ".", "git", "rev-parse", "HEAD"))
	if got := run(t, ".", dx, "--version"); !strings.HasPrefix(got, "dx version ") || !strings.Contains(got, commit[:7]) {
		t.Errorf("%q lacks %s", got, commit[:7])
	}
	if got := run(t, ".", "readelf", "--program-headers", dx); strings.Contains(got, "INTERP") {
		t.Errorf("dx is not static:\n%s", got)
	}
}

// installed are the files that every package has, beneath a root.
var installed = []string{
	"usr/bin/dx", "usr/share/man/man1/dx.1.gz", "usr/share/man/man1/dx-exec.1.gz",
	"usr/share/bash-completion/completions/dx", "usr/share/fish/vendor_completions.d/dx.fish",
	"usr/share/doc/dx/copyright", "usr/share/doc/dx/sbom.cdx.json", "usr/libexec/docker/cli-plugins/docker-dx",
}

// mustHave checks files beneath a root, and dx itself by the name that docker calls.
func mustHave(t *testing.T, root string, more ...string) {
	t.Helper()
	for _, name := range slices.Concat(installed, more) {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Error(err)
		}
	}
	runs(t, filepath.Join(root, "usr/bin/dx"))
	if got := run(t, ".", filepath.Join(root, "usr/libexec/docker/cli-plugins/docker-dx"), "docker-cli-plugin-metadata"); !strings.Contains(got, `"SchemaVersion":"0.1.0"`) {
		t.Errorf("docker dx: metadata %q", got)
	}
}

// testDeb installs and removes the package with dpkg, whose database and root are of the
// test's own.
func testDeb(t *testing.T, file string) {
	need(t, "dpkg")
	if os.Geteuid() != 0 {
		t.Skip("needs root: dpkg gives the files their owner")
	}
	root := t.TempDir()
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/log"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "var/lib/dpkg/status"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	dpkg := func(args ...string) string {
		return run(t, root, "dpkg", append([]string{"--root=" + root, "--log=/dev/null"}, args...)...)
	}
	dpkg("--install", file)
	mustHave(t, root, "usr/share/zsh/vendor-completions/_dx")
	if got := dpkg("--verify", "docker-dx"); got != "" {
		t.Errorf("dpkg --verify: %s", got)
	}
	dpkg("--purge", "docker-dx")
	if left := run(t, root, "find", ".", "-not", "-path", "./var*", "-not", "-type", "d"); left != "" {
		t.Errorf("left behind: %s", left)
	}
}

func testRPM(t *testing.T, file string) {
	need(t, "rpm")
	need(t, "cpio")
	if got := run(t, ".", "rpm", "-qp", "--queryformat", "%{NAME} %{ARCH} %{LICENSE}", file); got != fmt.Sprintf("docker-dx %s Apache-2.0", map[string]string{"amd64": "x86_64", "arm64": "aarch64"}[runtime.GOARCH]) {
		t.Errorf("rpm says %q", got)
	}
	listed := strings.Fields(run(t, ".", "rpm", "-qpl", file))
	for _, name := range installed {
		if !slices.Contains(listed, "/"+name) {
			t.Errorf("rpm does not list /%s", name)
		}
	}
	if slices.Contains(listed, "/usr/bin") {
		t.Error("the package claims /usr/bin, which is another's")
	}
	dir := t.TempDir()
	// The names are absolute: without the flag they would lie on this host.
	run(t, dir, "sh", "-c", `rpm2cpio "$1" | cpio -idm --quiet --no-absolute-filenames`, "sh", file)
	mustHave(t, dir, "usr/share/zsh/site-functions/_dx")
}

func testAPK(t *testing.T, file string) {
	dir := t.TempDir()
	run(t, dir, "tar", "-xzf", file) // three tars in a row, of which tar takes the last two
	if got := read(t, filepath.Join(dir, ".PKGINFO")); !strings.Contains(got, "\npkgname = docker-dx\n") && !strings.HasPrefix(got, "pkgname = docker-dx\n") {
		t.Errorf(".PKGINFO: %s", got)
	}
	mustHave(t, dir, "usr/share/zsh/site-functions/_dx")
}
