package proc

import (
	"bytes"
	"errors"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// ErrMemoryLocked says that a process's memory could not be looked at in time.
var ErrMemoryLocked = errors.New("its memory is locked, as while it waits for a file system that does not answer")

// lockedReads are those that have not come back in time, and may never.
var lockedReads atomic.Int32

// maxLockedReads bounds the threads that are left in one.
const maxLockedReads = 64

// memoryPatience is how long a look at a process's memory may take. Only somebody who
// wants it so makes many that never end: with each, the next has less time.
func memoryPatience() time.Duration {
	switch n := lockedReads.Load(); {
	case n == 0:
		return 2 * time.Second
	case n < 4:
		return 250 * time.Millisecond
	case n < maxLockedReads:
		return 20 * time.Millisecond
	}
	return 0
}

// CommandLine reads /proc/PID/cmdline to its end or up to limit bytes; cut says that
// there was more. ErrMemoryLocked if that takes too long.
//
// The kernel gets it out of the process's memory, under a lock that the process may hold
// for as long as it likes: whoever maps something over a changed page of a FUSE file waits
// for the server with it (fs/fuse/file.c, fuse_vma_close). Unlike a request to a server,
// this wait ends when its process is killed (mm/memory.c, access_remote_vm): so it may be
// a thread of dx's own that is left in it.
func (p *Process) CommandLine(limit int) (b []byte, cut bool, err error) {
	patience := memoryPatience()
	if patience == 0 {
		return nil, false, p.wrap("read", "cmdline", ErrMemoryLocked)
	}
	fd, err := p.OpenFD("cmdline", unix.O_RDONLY)
	if err != nil {
		return nil, false, err
	}
	type result struct {
		b   []byte
		err error
	}
	done := make(chan result, 1)
	go func() {
		defer unix.Close(fd)
		b, err := readFD(fd, make([]byte, 0, bytes.MinRead), limit, false)
		done <- result{b, err}
	}()
	late := time.NewTimer(patience)
	defer late.Stop()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, false, p.wrap("read", "cmdline", r.err)
		}
		return r.b[:min(len(r.b), limit)], len(r.b) > limit, nil
	case <-late.C:
		lockedReads.Add(1)
		return nil, false, p.wrap("read", "cmdline", ErrMemoryLocked)
	}
}
