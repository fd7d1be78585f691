package tty

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// errStopped ends a pump that was told to stop.
var errStopped = errors.New("relay stopped")

const (
	// growAfter is how much goes through a pipe before it is enlarged: a short
	// command should not cost 256 pages, nor see pipes other than docker's.
	growAfter = 256 << 10
	// growTo is what two of a stream's pipes can hold in a processor's own cache: with a MiB
	// each, a GiB takes a sixth more time. A user may have as much in each of his pipes
	// (/proc/sys/fs/pipe-max-size).
	growTo = 256 << 10
	// dense is what one splice moves in a stream whose writer does not pause.
	dense = 64 << 10
	// ptyCapacity is more than a pty holds: 8 KiB in its flip buffer and 4 KiB in
	// the line discipline (drivers/tty/pty.c, n_tty.c).
	ptyCapacity = 64 << 10
	// careful is what a file that polls as writable takes without blocking: one
	// page, in a pipe.
	careful = 4 << 10
)

// source is a file to read from. It is polled before it is read, so that it may be
// a blocking one.
type source struct {
	fd    int
	name  string
	stop  *event
	drain *event // raised: take what is there and end; nil: never
	left  int    // while draining
	ended bool   // drain was seen
}

// check says whether there is a reason to read no more. What a full pipe holds at
// the moment of draining is still taken; a writer that goes on is not waited for.
func (s *source) check() error {
	if s.stop.raised() {
		return errStopped
	}
	if !s.ended && s.drain != nil && s.drain.raised() {
		s.ended, s.left = true, capacity(s.fd)
	}
	if s.ended && s.left <= 0 {
		return io.EOF
	}
	return nil
}

func (s *source) ready() error {
	for {
		if err := s.check(); err != nil {
			return err
		}
		events, timeout := []*event{s.stop}, -1
		if s.ended {
			timeout = 0
		} else if s.drain != nil {
			events = append(events, s.drain)
		}
		got, err := poll(s.fd, unix.POLLIN, timeout, events...)
		switch {
		case err != nil:
			return &os.PathError{Op: "poll", Path: s.name, Err: err}
		case got&(unix.POLLIN|unix.POLLHUP) == unix.POLLHUP:
			return io.EOF // nobody is left who could write
		case got != 0:
			return nil
		case s.ended:
			return io.EOF
		}
	}
}

// limit is how much of n may be taken; took counts it.
func (s *source) limit(n int) int {
	if s.ended {
		return min(n, s.left)
	}
	return n
}

func (s *source) took(n int) { s.left -= n }

// Read implements io.Reader.
func (s *source) Read(p []byte) (int, error) {
	for len(p) > 0 {
		if err := s.ready(); err != nil {
			return 0, err
		}
		n, err := unix.Read(s.fd, p[:s.limit(len(p))])
		switch {
		case err == unix.EINTR, err == unix.EAGAIN:
		case err == unix.EIO:
			return 0, io.EOF // a terminal whose other side is closed (n_tty_read)
		case err != nil:
			return 0, &os.PathError{Op: "read", Path: s.name, Err: err}
		case n == 0:
			return 0, io.EOF
		default:
			s.took(n)
			return n, nil
		}
	}
	return 0, nil
}

// sink is a file to write to.
type sink struct {
	fd    int
	name  string
	stop  *event
	chunk int // at most so much at once, as more might block; 0: no limit
	moved int
	grown bool
}

func (d *sink) ready() error {
	if d.stop.raised() {
		return errStopped
	}
	if _, err := poll(d.fd, unix.POLLOUT, -1, d.stop); err != nil {
		return &os.PathError{Op: "poll", Path: d.name, Err: err}
	}
	if d.stop.raised() {
		return errStopped
	}
	return nil
}

// Write implements io.Writer. The write is the system call itself: os.File.Write
// would end dx with a SIGPIPE of its own if descriptor 1 or 2 is a broken pipe.
func (d *sink) Write(p []byte) (written int, err error) {
	for written < len(p) {
		if err := d.ready(); err != nil {
			return written, err
		}
		rest := p[written:]
		if d.chunk > 0 {
			rest = rest[:min(len(rest), d.chunk)]
		}
		n, err := unix.Write(d.fd, rest)
		if err == unix.EINTR || err == unix.EAGAIN {
			continue
		}
		if err != nil {
			return written, d.fail(err)
		}
		written += n
		d.took(n, d.fd)
	}
	return written, nil
}

func (d *sink) fail(err error) error { return &os.PathError{Op: "write", Path: d.name, Err: err} }

// took counts, and enlarges the pipes among the descriptors once the stream turns
// out to be a long one. Where that is refused (not a pipe, the user's limit of
// pipe pages, pipe(7)) the stream is slower, no more.
func (d *sink) took(n int, fds ...int) {
	d.moved += n
	if d.grown || d.moved < growAfter {
		return
	}
	d.grown = true
	for _, fd := range fds {
		if size, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0); err == nil && size < growTo {
			_, _ = unix.FcntlInt(uintptr(fd), unix.F_SETPIPE_SZ, growTo)
		}
	}
}

// capacity is how much a pipe or pty can hold.
func capacity(fd int) int {
	if n, err := unix.FcntlInt(uintptr(fd), unix.F_GETPIPE_SZ, 0); err == nil {
		return n
	}
	return ptyCapacity
}

// pump moves everything from src to dst. It returns nil at the end of src, an error
// of dst or src, or errStopped.
func pump(dst *sink, src *source) error {
	err := errCopy
	if waitless(src.fd) {
		err = splice(dst, src)
	}
	if errors.Is(err, errCopy) {
		_, err = io.CopyBuffer(dst, src, make([]byte, growTo))
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// errCopy says that splice(2) does not serve between two files.
var errCopy = errors.New("splice not possible")

// waitless reports whether splice from the file honours SPLICE_F_NONBLOCK: pipes and
// sockets. A terminal does not. Regular files are copied too: splice would hand the
// page cache of the host's file to a pipe of the container (CVE-2022-0847).
func waitless(fd int) bool {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false
	}
	format := st.Mode & unix.S_IFMT
	return format == unix.S_IFIFO || format == unix.S_IFSOCK
}

// splice moves pages without copying them. Files to which it cannot (opened with
// O_APPEND, a few terminals) are errCopy, with nothing lost.
func splice(dst *sink, src *source) error {
	last := 0
	for {
		if err := src.check(); err != nil {
			return err
		}
		n, err := unix.Splice(src.fd, nil, dst.fd, nil, src.limit(growTo), unix.SPLICE_F_MOVE|unix.SPLICE_F_NONBLOCK)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			// Which side it was, splice does not say. The source comes first: one
			// that has ended needs no room in the sink.
			if err := src.ready(); err != nil {
				return err
			}
			if err := dst.ready(); err != nil {
				return err
			}
			if last >= dense {
				yield()
			}
		case err == unix.EINVAL, err == unix.ENOSYS, err == unix.EOPNOTSUPP, err == unix.EPERM:
			return errCopy
		case err != nil:
			return dst.fail(err)
		case n == 0:
			return io.EOF
		default:
			last = int(n)
			src.took(last)
			dst.took(last, src.fd, dst.fd)
		}
	}
}

// yield lets the writer put more into the pipe before the relay, just woken by the
// first of it, takes the processor: on two processors a GiB takes a fifth less time.
// With a processor to spare it returns at once.
func yield() { _, _, _ = unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
