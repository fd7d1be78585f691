package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"dx/nsops/callerfile"
	"dx/nsops/launch"
)

// Socket is the file of a unix socket, found without waiting for a file system.
// connect(2) by a path would look it up in dx itself, and wait there for a FUSE that
// never answers.
type Socket struct {
	Path string
	file *os.File     // O_PATH; nil where the path itself will do
	stat *unix.Stat_t // of it
}

// OpenSocket finds a socket's file. errors.Is finds launch.ErrSilent where its file
// system does not answer. Docker's own place is root's alone, so that nobody else can
// mount anything on the way: it is left to connect(2).
func OpenSocket(path string) (*Socket, error) {
	s := &Socket{Path: path}
	if path == "/var/run/docker.sock" || path == "/run/docker.sock" || strings.HasPrefix(path, "@") {
		return s, nil
	}
	var d launch.Deputy
	defer d.Close()
	f, info, err := callerfile.Find(&d, path, true)
	var cannot *fs.PathError
	switch {
	case errors.As(err, &cannot):
		return nil, s.dialError(os.NewSyscallError("connect", cannot.Err))
	case err != nil:
		return nil, err
	case info.FS.Type == unix.FUSE_SUPER_MAGIC:
		f.Close()
		return nil, fmt.Errorf("%s lies on a FUSE, which may not answer: it is left alone", path)
	}
	s.file, s.stat = f, &info.Stat_t
	return s, nil
}

// Address is what to connect to while the Socket is open.
func (s *Socket) Address() string {
	if s.file == nil {
		return s.Path
	}
	return launch.Descriptor(int(s.file.Fd()))
}

// Stat returns what stat(2) says of the file.
func (s *Socket) Stat() (unix.Stat_t, error) {
	if s.stat != nil {
		return *s.stat, nil
	}
	var st unix.Stat_t
	if strings.HasPrefix(s.Path, "@") {
		return st, unix.ENOENT // abstract
	}
	return st, unix.Stat(s.Path, &st)
}

// Close releases the file.
func (s *Socket) Close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// dialError is an error of net.Dial's for the path.
func (s *Socket) dialError(err error) error {
	return &net.OpError{Op: "dial", Net: "unix", Addr: &net.UnixAddr{Name: s.Path, Net: "unix"}, Err: err}
}

func (s *Socket) dial(dial func(address string) (net.Conn, error)) (net.Conn, error) {
	conn, err := dial(s.Address())
	var e *net.OpError
	if errors.As(err, &e) { // it names the address
		err = s.dialError(e.Err)
	}
	return conn, err
}
