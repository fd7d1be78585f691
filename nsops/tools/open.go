package tools

import (
	"bufio"
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"dx/nsops/callerfile"
)

// Open makes a tree of a directory, a tar archive (also gzipped) or one program.
func Open(path string) (*Tree, error) {
	f, err := callerfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	switch {
	case f.IsDir():
		return Layers(path, []string{path})
	case !f.IsRegular():
		return nil, fmt.Errorf("tools of %s: it is neither a directory nor a regular file", path)
	}
	r := bufio.NewReader(f)
	head, err := r.Peek(4)
	switch {
	case err != nil:
		return nil, fmt.Errorf("tools of %s: too short for a program or an archive", path)
	case string(head) == elf.ELFMAG:
		if err := mustBeStatic(f); err != nil {
			return nil, err
		}
		fallthrough
	case bytes.HasPrefix(head, []byte("#!")):
		return fill(path, func(root *os.Root) error { return write(root, filepath.Base(path), r, 0o755) })
	}
	return fill(path, func(root *os.Root) error { return unpackAny(root, r) })
}

// DynamicError says that a program needs libraries, which a container may lack.
type DynamicError struct{ Path, Loader string }

func (e *DynamicError) Error() string {
	return fmt.Sprintf("%s is linked dynamically (its loader is %s): in a container it would find other libraries or none", e.Path, e.Loader)
}

func mustBeStatic(f *callerfile.File) error {
	program, err := elf.NewFile(f)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	for _, p := range program.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		loader, err := io.ReadAll(io.LimitReader(p.Open(), 4096))
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name(), err)
		}
		return &DynamicError{Path: f.Name(), Loader: strings.TrimRight(string(loader), "\x00")}
	}
	return nil
}

// ErrNoBusybox says that no tools were named and none were found.
var ErrNoBusybox = errors.New("no static busybox was found on this host")

// busyboxes are where systems have a static one.
var busyboxes = []string{"busybox", "busybox-static", "busybox.static", "/bin/busybox.static", "/usr/lib/initramfs-tools/bin/busybox", "/usr/lib/busybox/busybox"}

// Busybox makes a tree of the host's static busybox, with all its names.
func Busybox(ctx context.Context) (*Tree, error) {
	path, err := findBusybox()
	if err != nil {
		return nil, err
	}
	names, err := applets(ctx, path)
	if err != nil {
		return nil, err
	}
	return fill(path, func(root *os.Root) error { return writeBusybox(root, path, names) })
}

func findBusybox() (string, error) {
	reason := ErrNoBusybox
	for _, name := range busyboxes {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		f, err := callerfile.Open(path)
		if err == nil {
			err = mustBeStatic(f)
			f.Close()
		}
		if err == nil {
			return path, nil
		}
		reason = fmt.Errorf("%w: %w", ErrNoBusybox, err)
	}
	return "", reason
}

// appletTime bounds the run of busybox --list.
const appletTime = 5 * time.Second

// applets asks busybox for its names.
func applets(ctx context.Context, path string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, appletTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "--list")
	cmd.WaitDelay = time.Second
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s --list: %w", path, err)
	}
	return strings.Fields(string(out)), nil
}

func writeBusybox(root *os.Root, path string, names []string) error {
	f, err := callerfile.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	const busybox = "busybox"
	if err := write(root, busybox, f, 0o755); err != nil {
		return err
	}
	for _, name := range names {
		if name == busybox || strings.Contains(name, "/") {
			continue
		}
		if err := root.Symlink(busybox, name); err != nil {
			return err
		}
	}
	return nil
}

// write writes a file, whatever the caller's umask is.
func write(root *os.Root, name string, from io.Reader, mode fs.FileMode) error {
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := io.Copy(f, from); err != nil {
		return err
	}
	return f.Chmod(mode)
}
