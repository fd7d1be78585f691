package doctor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"dx/dockerx/host"
	"dx/nsops/proc"
)

// tempDir is os.TempDir of another process.
func tempDir(p *proc.Process) string {
	env, _ := p.ReadFile("environ")
	for v := range strings.SplitSeq(string(env), "\x00") {
		if dir, ok := strings.CutPrefix(v, "TMPDIR="); ok && dir != "" {
			return dir
		}
	}
	return "/tmp"
}

// openDumpDir opens a directory as a daemon sees it, and wants that nobody else can
// exchange what is in it, nor itself by a directory above: each belongs to root or to
// dx's user and is closed to others, or sticky. The last one may be sticky only where
// sticky says so.
func openDumpDir(p *proc.Process, dir string, sticky bool) (*os.File, error) {
	dir = path.Clean("/" + dir)
	for at := dir; at != "/"; at = path.Dir(at) {
		if err := checkDumpDir(p, at, sticky || at != dir); err != nil {
			return nil, err
		}
	}
	h, err := host.OpenPath(p, dir)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	fd, err := unix.Openat(int(h.Fd()), ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", dir, err)
	}
	return os.NewFile(uintptr(fd), dir), nil
}

func checkDumpDir(p *proc.Process, dir string, sticky bool) error {
	h, err := host.OpenPath(p, dir)
	if err != nil {
		return err
	}
	defer h.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(h.Fd()), &st); err != nil {
		return fmt.Errorf("stat %s: %w", dir, err)
	}
	switch open := st.Mode&(unix.S_IWGRP|unix.S_IWOTH) != 0; {
	case st.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("%s is no directory", dir)
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return fmt.Errorf("the daemon gets no signal: its dump would lie in %s, which belongs to uid %d", dir, st.Uid)
	case open && !(sticky && st.Mode&unix.S_ISVTX != 0):
		return fmt.Errorf("the daemon gets no signal: its dump would lie in %s, where others may write", dir)
	}
	return nil
}

// openOwn opens a regular file of dx's own user, which nobody else may write and which
// has no other name. A link is not followed, and a FIFO not waited for.
func openOwn(dir *os.File, name string) (*os.File, error) {
	full := path.Join(dir.Name(), name)
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENXIO) {
		err = host.ErrNotRegular // a symbolic link; a socket
	}
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", full, err)
	}
	f := os.NewFile(uintptr(fd), full)
	var st unix.Stat_t
	err = unix.Fstat(fd, &st)
	switch {
	case err != nil:
	case st.Mode&unix.S_IFMT != unix.S_IFREG:
		err = host.ErrNotRegular
	case int(st.Uid) != os.Geteuid():
		err = fmt.Errorf("it belongs to uid %d", st.Uid)
	case st.Nlink != 1:
		err = fmt.Errorf("it has %d names", st.Nlink)
	case st.Mode&(unix.S_IWGRP|unix.S_IWOTH) != 0:
		err = fmt.Errorf("others may write it")
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", full, err)
	}
	return f, nil
}

// fileStat tells a file from what it was.
type fileStat struct {
	inode       uint64
	size, mtime int64
}

func statOf(f *os.File) fileStat {
	var st unix.Stat_t
	if unix.Fstat(int(f.Fd()), &st) != nil {
		return fileStat{}
	}
	return fileStat{st.Ino, st.Size, st.Mtim.Nano()}
}

// list reads a directory from its beginning.
func list(dir *os.File) []string {
	if _, err := dir.Seek(0, io.SeekStart); err != nil {
		return nil
	}
	names, _ := dir.Readdirnames(1 << 16)
	return names
}

// reserve opens the file that a daemon is going to write, so that no other can be put
// in its place; made says that there was none.
func reserve(dir *os.File, name string) (f *os.File, made bool, err error) {
	full := path.Join(dir.Name(), name)
	fd, err := unix.Openat(int(dir.Fd()), name, unix.O_RDONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err == nil {
		return os.NewFile(uintptr(fd), full), true, nil
	}
	if !errors.Is(err, unix.EEXIST) {
		return nil, false, fmt.Errorf("make %s: %w", full, err)
	}
	if f, err = openOwn(dir, name); err != nil {
		return nil, false, fmt.Errorf("the daemon gets no signal, as it would write to a file that somebody else has made: %w; look at it and remove it", err)
	}
	return f, false, nil
}

// dumpFiles are the dumps in dockerd's directory.
func dumpFiles(dir *os.File) map[string]fileStat {
	out := map[string]fileStat{}
	for _, name := range list(dir) {
		if !strings.HasPrefix(name, "goroutine-stacks-") || !strings.HasSuffix(name, ".log") {
			continue
		}
		if f, err := openOwn(dir, name); err == nil {
			out[name] = statOf(f)
			f.Close()
		}
	}
	return out
}

// newDump opens a dump that was not there before, or was another one, once it is whole.
func newDump(dir *os.File, pr *proc.Process, before map[string]fileStat) *os.File {
	for name, st := range dumpFiles(dir) {
		if st == before[name] {
			continue
		}
		f, err := openOwn(dir, name)
		if err != nil {
			continue
		}
		if written(pr, f, name) {
			return f
		}
		f.Close()
	}
	return nil
}
