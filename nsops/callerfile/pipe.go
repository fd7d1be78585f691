package callerfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"dx/nsops/launch"
)

// pipePatience is how long a pipe's writer may take for its next byte: the other side
// of a shell's <(…) may ask somebody.
const pipePatience = 30 * time.Second

// ReadStream is Read, and reads a pipe to its end as well: a shell's <(…), a FIFO that
// somebody writes to. /dev/null is empty.
func ReadStream(name string, limit int) ([]byte, error) {
	f, err := Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	switch {
	case f.kind() == unix.S_IFIFO:
		return f.drain(limit)
	case f.kind() == unix.S_IFCHR && f.Stat.Rdev == unix.Mkdev(1, 3):
		return nil, nil
	}
	return f.all(limit)
}

func (f *File) drain(limit int) ([]byte, error) {
	var out []byte
	wait := launch.Patience
	for len(out) <= limit {
		ready, err := readable(f.local, wait)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", f.name, err)
		}
		b := make([]byte, 64<<10)
		n, err := 0, error(unix.EAGAIN)
		if ready || f.nonblocking() {
			n, err = unix.Read(f.local, b)
		}
		switch {
		case errors.Is(err, unix.EINTR):
		case err == nil && n > 0:
			out, wait = append(out, b[:n]...), pipePatience
		case err == nil && !ready:
			return nil, fmt.Errorf("read %s: nobody writes to this pipe within %v", f.name, wait)
		case err == nil:
			return out, nil
		case !errors.Is(err, unix.EAGAIN):
			return nil, fmt.Errorf("read %s: %w", f.name, err)
		case !ready && wait == pipePatience:
			return nil, fmt.Errorf("read %s: nothing comes from this pipe within %v", f.name, wait)
		default:
			wait = pipePatience // it has a writer
		}
	}
	return nil, fmt.Errorf("%s is larger than %d MiB", f.name, limit>>20)
}

// nonblocking reports whether the pipe was opened here; one that dx was given may not
// be made so, as others have it too.
func (f *File) nonblocking() bool {
	flags, err := unix.FcntlInt(uintptr(f.local), unix.F_GETFL, 0)
	return err == nil && flags&unix.O_NONBLOCK != 0
}

// readable waits until there is something to read, or nobody left who could write.
func readable(fd int, patience time.Duration) (bool, error) {
	for end := time.Now().Add(patience); ; {
		left := time.Until(end)
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, max(0, int(left.Milliseconds())))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil || n > 0:
			return n > 0, err
		case time.Now().After(end):
			return false, nil
		}
	}
}

// ownDescriptor is the number of a name that means an open file of dx's own.
func ownDescriptor(name string) (int, bool) {
	name = filepath.Clean(name)
	if name == "/dev/stdin" {
		return 0, true
	}
	for _, dir := range []string{"/dev/fd/", "/proc/self/fd/"} {
		if number, ok := strings.CutPrefix(name, dir); ok {
			fd, err := strconv.ParseUint(number, 10, 16)
			return int(fd), err == nil
		}
	}
	return 0, false
}

// openOwn opens a file by its descriptor here. A pipe is known as such without asking
// its file system; for all else a deputy gets it.
func openOwn(name string, number int, check func(unix.Stat_t) error) (*File, error) {
	fd, err := unix.FcntlInt(uintptr(number), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0); err == nil {
		return &File{name: name, local: fd, Stat: unix.Stat_t{Mode: unix.S_IFIFO}}, nil
	}
	file := os.NewFile(uintptr(fd), name)
	defer file.Close()
	f := &File{name: name, local: none, asked: &remote{}}
	err = f.asked.do(func(c *launch.Call) (err error) {
		if f.asked.fd, err = c.Give(file); err != nil {
			return err
		}
		if err := f.look(c, f.asked.fd); err != nil {
			return err
		}
		return check(f.Stat)
	})
	if err != nil {
		f.asked.deputy.Close()
	}
	return f, err
}
