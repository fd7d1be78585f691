package engine

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// The images that every engine has.
const (
	Busybox = "dx-busybox" // a static busybox and two users
	Bash    = "dx-bash"    // the same with the host's bash
)

// accounts is /etc of the images. "app" has a group of its own and another that
// it is a member of.
var accounts = map[string]string{
	"etc/passwd": "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:App:/home/app:/bin/sh\nodd:x:1001:4242::/nowhere:/bin/sh\n",
	"etc/group":  "root:x:0:\napp:x:1000:\nextra:x:2000:app\nmore:x:2001:app,odd\n",
}

// Rootfs writes a container's root file system as a tar archive: busybox with
// all its names, accounts, and the further programs with their libraries.
func Rootfs(to io.Writer, programs ...string) error {
	busybox, err := staticBusybox()
	if err != nil {
		return err
	}
	w := &rootfs{tar: tar.NewWriter(to), dirs: map[string]bool{}}
	w.file("bin/busybox", busybox, 0o755)
	applets, err := exec.Command(busybox, "--list").Output()
	w.fail(err)
	for _, name := range strings.Fields(string(applets)) {
		if name != "busybox" && !slices.Contains(programs, "/bin/"+name) {
			w.add(&tar.Header{Typeflag: tar.TypeSymlink, Name: "bin/" + name, Linkname: "busybox", Mode: 0o777}, nil)
		}
	}
	for _, name := range []string{"etc/passwd", "etc/group"} {
		b := []byte(accounts[name])
		w.add(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, b)
	}
	w.dir("tmp", 0o1777, 0)
	w.dir("root", 0o700, 0)
	w.dir("home/app", 0o755, 1000)
	for _, p := range programs {
		w.program(p)
	}
	w.fail(w.tar.Close())
	return w.err
}

func staticBusybox() (string, error) {
	path, err := exec.LookPath("busybox")
	if err != nil {
		return "", err
	}
	if libs, err := libraries(path); err != nil || len(libs) > 0 {
		return "", fmt.Errorf("%s is not static (apt-get install busybox-static): %v %w", path, libs, err)
	}
	return path, nil
}

// rootfs is a tar writer that stops at its first error.
type rootfs struct {
	tar  *tar.Writer
	dirs map[string]bool
	err  error
}

func (w *rootfs) fail(err error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *rootfs) add(h *tar.Header, content []byte) {
	if w.err != nil {
		return
	}
	h.Size = int64(len(content))
	w.fail(w.tar.WriteHeader(h))
	_, err := w.tar.Write(content)
	w.fail(err)
}

func (w *rootfs) dir(name string, mode int64, id int) {
	w.add(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode, Uid: id, Gid: id}, nil)
}

func (w *rootfs) file(name, from string, mode int64) {
	b, err := os.ReadFile(from)
	w.fail(err)
	w.add(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode}, b)
}

// program adds a program of the host and the libraries that it is linked with.
func (w *rootfs) program(path string) {
	libs, err := libraries(path)
	w.fail(err)
	for _, p := range append(libs, path) {
		if !w.dirs[p] {
			w.dirs[p] = true
			w.file(strings.TrimPrefix(p, "/"), p, 0o755)
		}
	}
}

// libraries asks the dynamic linker what a program needs; none for a static one.
func libraries(path string) ([]string, error) {
	b, err := exec.Command("ldd", path).CombinedOutput()
	if bytes.Contains(b, []byte("not a dynamic executable")) || bytes.Contains(b, []byte("statically linked")) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("ldd %s: %w: %s", path, err, b)
	}
	var libs []string
	for _, f := range strings.Fields(string(b)) {
		if strings.HasPrefix(f, "/") && !strings.HasSuffix(f, ":") {
			libs = append(libs, f)
		}
	}
	return libs, nil
}

func (e *Engine) importImages() error {
	if err := e.Import(Busybox); err != nil {
		return err
	}
	return e.Import(Bash, "/bin/bash")
}

// Import makes an image of Rootfs with the programs.
func (e *Engine) Import(name string, programs ...string) error {
	var archive bytes.Buffer
	if err := Rootfs(&archive, programs...); err != nil {
		return fmt.Errorf("image %s: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTime)
	defer cancel()
	cmd := e.Command(ctx, "docker", "import", "-c", `CMD ["sleep","1000000"]`, "-", name)
	cmd.Stdin = &archive
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("docker import %s: %w: %s", name, err, b)
	}
	return nil
}
