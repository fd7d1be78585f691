package engine

import (
	"fmt"
	"net"
	"sync"
)

// maxAnswer bounds what is read of one connection: some 20,000 containers.
const maxAnswer = 64 << 20

// boundedConn fails once too much has come, so that a mad engine cannot fill
// the memory before the deadline.
type boundedConn struct {
	net.Conn
	left int
}

func (c *boundedConn) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, fmt.Errorf("the answer is larger than %d MiB", maxAnswer>>20)
	}
	n, err := c.Conn.Read(b)
	c.left -= n
	return n, err
}

type dialErrorKey struct{}

// dialError carries the error of a dial past the API client.
type dialError struct {
	mu  sync.Mutex
	err error
}

func (d *dialError) set(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.err = err
}

func (d *dialError) get() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}
