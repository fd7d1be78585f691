package proc

import (
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Each visits every process that /proc shows, zombies included, in one pass. The
// Process is bound to its directory alone (no pidfd, StartTime 0), and closed when
// visit returns: with 10,000 processes a handle must be cheap. A process that ends
// meanwhile is not visited; one that visit itself reports as ErrGone is visit's
// matter. An error of visit ends the pass.
func Each(visit func(*Process) error) error {
	pids, err := PIDs()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		p := &Process{PID: pid}
		if p.openDir() != nil {
			continue // it has ended
		}
		err := visit(p)
		p.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// PIDs lists the processes that /proc shows, in no order.
func PIDs() ([]int, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, fmt.Errorf("list /proc: %w", err)
	}
	var out []int
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid > 0 {
			out = append(out, pid)
		}
	}
	return out, nil
}

// ReadPrefix reads a file of the process's directory to its end or up to limit bytes;
// cut says that there was more. For files whose size the process itself chooses.
func (p *Process) ReadPrefix(name string, limit int) (b []byte, cut bool, err error) {
	f, err := p.OpenFile(name, unix.O_RDONLY)
	if err != nil {
		return nil, false, err
	}
	defer f.Close()
	b, err = io.ReadAll(io.LimitReader(f, int64(limit)+1))
	if err != nil {
		return nil, false, p.wrap("read", name, err)
	}
	if len(b) > limit {
		return b[:limit], true, nil
	}
	return b, false, nil
}

// Ticks is USER_HZ: how many of a Stat's clock ticks make a second.
const Ticks = userHZ

// StatOf reads /proc/PID/stat of whatever process has that number now: its start time
// tells whether it is the one that is meant.
func StatOf(pid int) (Stat, error) {
	p := &Process{PID: pid}
	if err := p.openDir(); err != nil {
		return Stat{}, err
	}
	defer p.Close()
	return p.Stat()
}
