package engine

import (
	"net"
	"sync"

	"golang.org/x/sys/unix"
)

// place is what the last look at the path of a client's socket has found. All looks go by
// OpenSocket, which always comes back: later than a request's deadline on a busy machine.
type place struct {
	mu   sync.Mutex
	last *look // nil: nobody has looked
}

// look is one that has been begun.
type look struct {
	done chan struct{}
	stat unix.Stat_t
	err  error
}

func (p *place) begin() *look {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = &look{done: make(chan struct{})}
	return p.last
}

// open finds the socket's file, which is the caller's to close.
func (p *place) open(path string) (*Socket, unix.Stat_t, error) {
	l := p.begin()
	defer close(l.done)
	s, err := OpenSocket(path)
	if err != nil {
		l.err = err
		return nil, unix.Stat_t{}, err
	}
	l.stat, l.err = s.Stat()
	return s, l.stat, nil
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
	last := c.place.last
	c.place.mu.Unlock()
	if last != nil {
		<-last.done
		return last.stat, last.err
	}
	_, path := network(c.Host())
	s, st, err := c.place.open(path)
	if err == nil {
		err = s.Close()
	}
	return st, err
}
