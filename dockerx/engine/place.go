package engine

import (
	"errors"
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrNotLooked says that a look at a socket's path has not come back yet.
var ErrNotLooked = errors.New("who listens there is not known: a look at its path has not come back")

// place is what the last look at the path of a client's socket has found. All looks go by
// OpenSocket, and nobody waits for one twice.
type place struct {
	mu     sync.Mutex
	looked bool
	stat   unix.Stat_t
	err    error
}

func (p *place) note(st unix.Stat_t, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looked, p.stat, p.err = true, st, err
}

// open finds the socket's file, which is the caller's to close.
func (p *place) open(path string) (*Socket, unix.Stat_t, error) {
	p.note(unix.Stat_t{}, ErrNotLooked)
	s, err := OpenSocket(path)
	if err != nil {
		p.note(unix.Stat_t{}, err)
		return nil, unix.Stat_t{}, err
	}
	st, err := s.Stat()
	p.note(st, err)
	return s, st, nil
}

// dial connects to the file that was found, and returns what stat(2) says of it; nil if
// that is not known.
func (p *place) dial(path string, dial func(address string) (net.Conn, error)) (net.Conn, *unix.Stat_t, error) {
	s, st, err := p.open(path)
	if err != nil {
		return nil, nil, err
	}
	defer s.Close()
	conn, err := s.dial(dial)
	if st == (unix.Stat_t{}) {
		return conn, nil, err
	}
	return conn, &st, err
}

// SocketFile returns what stat(2) says of the file of the engine's unix socket, as it was
// when last connected to. fs.ErrNotExist: there is none. Any other error says that it is
// not known.
func (c *Client) SocketFile() (unix.Stat_t, error) {
	c.place.mu.Lock()
	looked, st, err := c.place.looked, c.place.stat, c.place.err
	c.place.mu.Unlock()
	if looked {
		return st, err
	}
	_, path := network(c.Host())
	s, st, err := c.place.open(path)
	if err == nil {
		err = s.Close()
	}
	return st, err
}
