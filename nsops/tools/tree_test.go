package tools

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounts need root")
	}
}

// hostMounts is what of the mount table of this process is of tools. Mounts of
// others come and go.
func hostMounts(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var own []string
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, "dx-tools") || strings.Contains(line, " "+ContainerDir+" ") {
			own = append(own, line)
		}
	}
	return strings.Join(own, "")
}

// tree checks what is promised of every tree, as a process with all rights sees it.
func tree(t *testing.T, make func() (*Tree, error)) *Tree {
	t.Helper()
	needRoot(t)
	before := hostMounts(t)
	tr, err := make()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tr.Close() })
	if after := hostMounts(t); after != before {
		t.Errorf("the mount table changed:\n%s\n%s", before, after)
	}
	root := fmt.Sprintf("/proc/self/fd/%d", tr.File.Fd())
	if err := os.WriteFile(root+"/new", nil, 0o644); !errors.Is(err, unix.EROFS) {
		t.Errorf("a file can be written: %v", err)
	}
	// The flags of the mount may be cleared by whoever has CAP_SYS_ADMIN somewhere.
	attr := unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(int(tr.File.Fd()), "", unix.AT_EMPTY_PATH, &attr); err != nil {
		t.Errorf("mount_setattr: %v", err)
	}
	if err := os.WriteFile(root+"/new", nil, 0o644); !errors.Is(err, unix.EROFS) {
		t.Errorf("a file can be written once the mount is writable: %v", err)
	}
	noHandles(t, root)
	inside, _ := filepath.Glob(root + "/*")
	above, _ := filepath.Glob(root + "/../../*")
	if len(inside) != len(above) {
		t.Errorf(".. leads out of the tree: %v, not %v", above, inside)
	}
	return tr
}

// noHandles: a descriptor of the tree must open no file of the host by its handle
// (open_by_handle_at(2), the attack known as shocker).
func noHandles(t *testing.T, root string) {
	t.Helper()
	handle, _, err := unix.NameToHandleAt(unix.AT_FDCWD, "/etc/passwd", 0)
	if err != nil {
		t.Logf("/etc/passwd has no handle: %v", err)
		return
	}
	dir, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if fd, err := unix.OpenByHandleAt(int(dir.Fd()), handle, unix.O_RDONLY); err == nil {
		unix.Close(fd)
		t.Error("the tree opens /etc/passwd of the host by its handle")
	}
}

func run(t *testing.T, tr *Tree, program string, args ...string) string {
	t.Helper()
	path, ok := tr.Find(program)
	if !ok {
		t.Fatalf("%s is not in %v of %s", program, tr.Dirs, tr.Origin)
	}
	cmd := exec.Command("/proc/self/fd/3/"+path, args...)
	cmd.ExtraFiles = []*os.File{tr.File}
	// Go looks the path up in this process, the kernel in the child's.
	cmd.Path = fmt.Sprintf("/proc/self/fd/%d/%s", tr.File.Fd(), path)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", program, err, out)
	}
	return string(out)
}

func TestBusybox(t *testing.T) {
	tr := tree(t, func() (*Tree, error) { return Busybox(context.Background()) })
	if got := run(t, tr, "echo", "a", "b"); got != "a b\n" {
		t.Errorf("echo: %q", got)
	}
	want, err := exec.Command("busybox", "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range strings.Fields(string(want)) {
		if _, ok := tr.Find(name); !ok {
			t.Errorf("no %s", name)
		}
	}
}

func TestDirectory(t *testing.T) {
	busybox, err := findBusybox()
	if err != nil {
		t.Skip(err)
	}
	dir := filepath.Join(t.TempDir(), "a:b,c\\d")
	if err := os.MkdirAll(dir+"/usr/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/usr/bin/echo", b, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("usr/bin", dir+"/bin"); err != nil {
		t.Fatal(err)
	}
	tr := tree(t, func() (*Tree, error) { return Open(dir) })
	if got := run(t, tr, "echo", "x"); got != "x\n" {
		t.Errorf("echo: %q", got)
	}
	if fmt.Sprint(tr.Dirs) != "[usr/bin]" {
		t.Errorf("directories %v", tr.Dirs)
	}
}

func TestNoBusybox(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if path, err := findBusybox(); err == nil && !filepath.IsAbs(path) || err != nil && !errors.Is(err, ErrNoBusybox) {
		t.Errorf("busybox is found at %q, %v, want an absolute path or none", path, err)
	}
	// Bash is linked dynamically everywhere.
	if err := os.Symlink("/bin/bash", dir+"/busybox"); err != nil {
		t.Fatal(err)
	}
	path, err := findBusybox()
	if path == dir+"/busybox" {
		t.Error("a dynamic busybox is taken")
	}
	var dynamic *DynamicError
	if err != nil && (!errors.As(err, &dynamic) || !errors.Is(err, ErrNoBusybox)) {
		t.Errorf("the reason is missing: %v", err)
	}
}
