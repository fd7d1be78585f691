package doctor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
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
// exchange what is in it, nor what leads there: each directory and link on the way
// belongs to root or to dx's user, and each directory is closed to others, or sticky.
// The last one may be sticky only where sticky says so.
func openDumpDir(p *proc.Process, name string, sticky bool) (*os.File, error) {
	if !path.IsAbs(name) {
		return nil, fmt.Errorf("the daemon gets no signal: where %q is, only itself knows", name)
	}
	root, err := p.OpenFile("root", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	names, err := resolve(root, name)
	if err != nil {
		return nil, err
	}
	dir, err := openNames(root, names, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	if err := checkDumpDir(dir, sticky); err != nil {
		dir.Close()
		return nil, err
	}
	return dir, nil
}

// maxSteps bounds the names on a way, those of links included.
const maxSteps = 255

// resolve makes of a path one without links, and checks each directory and link.
func resolve(root *os.File, name string) ([]string, error) {
	var done []string
	todo := strings.Split(name, "/")
	for steps := 0; len(todo) > 0; steps++ {
		next := todo[0]
		todo = todo[1:]
		switch {
		case steps > maxSteps:
			return nil, fmt.Errorf("open %s: %w", name, unix.ELOOP)
		case next == "" || next == ".":
			continue
		case next == "..":
			done = done[:max(0, len(done)-1)]
			continue
		}
		dir, err := openNames(root, done, unix.O_PATH|unix.O_DIRECTORY)
		if err != nil {
			return nil, err
		}
		target, err := step(dir, next)
		dir.Close()
		switch {
		case err != nil:
			return nil, err
		case target == "":
			done = append(done, next)
			continue
		case path.IsAbs(target):
			done = nil
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	return done, nil
}

// step checks a directory on the way, and what it has by the next name; target is where
// that leads if it is a link.
func step(dir *os.File, name string) (target string, err error) {
	if err := checkDumpDir(dir, true); err != nil {
		return "", err
	}
	full := path.Join(dir.Name(), name)
	var st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return "", fmt.Errorf("stat %s: %w", full, err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return "", nil
	}
	if !own(&st) {
		return "", fmt.Errorf("the daemon gets no signal: the link %s on the way to its dump belongs to uid %d", full, st.Uid)
	}
	var buf [unix.PathMax]byte
	n, err := unix.Readlinkat(int(dir.Fd()), name, buf[:])
	if err != nil || n == 0 {
		return "", fmt.Errorf("read the link %s: %w", full, err)
	}
	return string(buf[:n]), nil
}

// openNames goes down from root by names, none of which may be a link.
func openNames(root *os.File, names []string, flags int) (*os.File, error) {
	full := "/" + strings.Join(names, "/")
	at, err := unix.FcntlInt(root.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", full, err)
	}
	for _, name := range append(slices.Clone(names), ".") {
		how := unix.O_PATH | unix.O_DIRECTORY
		if name == "." {
			how = flags
		}
		next, err := unix.Openat(at, name, how|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		unix.Close(at)
		if err != nil {
			return nil, fmt.Errorf("open %s: %w", full, err)
		}
		at = next
	}
	return os.NewFile(uintptr(at), full), nil
}

// own reports whether a file belongs to root or to dx's user.
func own(st *unix.Stat_t) bool { return st.Uid == 0 || int(st.Uid) == os.Geteuid() }

func checkDumpDir(dir *os.File, sticky bool) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(dir.Fd()), &st); err != nil {
		return fmt.Errorf("stat %s: %w", dir.Name(), err)
	}
	open := st.Mode&(unix.S_IWGRP|unix.S_IWOTH) != 0
	switch {
	case !own(&st):
		return fmt.Errorf("the daemon gets no signal: its dump would lie in or below %s, which belongs to uid %d", dir.Name(), st.Uid)
	case open && (!sticky || st.Mode&unix.S_ISVTX == 0):
		return fmt.Errorf("the daemon gets no signal: its dump would lie in or below %s, where others may write", dir.Name())
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
