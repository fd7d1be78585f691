package proc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Each visits every process that /proc shows, zombies included, in one pass. The
// Process is bound to its directory alone (StartTime 0), and closed when
// visit returns: with 10,000 processes it must be cheap. A process that ends
// meanwhile is not visited; one that visit itself reports as ErrGone is visit's
// matter. An error of visit ends the pass.
func Each(visit func(*Process) error) error {
	pids, err := PIDs()
	if err != nil {
		return err
	}
	for _, pid := range pids {
		p, err := OpenDir(pid)
		if err != nil {
			continue // it has ended
		}
		err = visit(p)
		p.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// PIDs lists the processes that /proc shows, in no order.
func PIDs() (out []int, err error) {
	err = EachPIDs(func(pids []int) bool {
		out = append(out, pids...)
		return true
	})
	return out, err
}

// EachPIDs is PIDs with some at a time, as the kernel tells them: it takes 1.4 µs to name one, in
// which the first can be looked at. The slices are the visitor's to keep; false ends the pass.
func EachPIDs(visit func(pids []int) bool) error {
	const atATime = 128
	dir, err := os.Open("/proc")
	if err != nil {
		return err
	}
	defer dir.Close()
	for {
		names, err := dir.Readdirnames(atATime)
		pids := make([]int, 0, len(names))
		for _, name := range names {
			if pid, err := strconv.Atoi(name); err == nil && pid > 0 {
				pids = append(pids, pid)
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("list /proc: %w", err)
		case !visit(pids):
			return nil
		}
	}
}

// Ticks is USER_HZ: how many of a Stat's clock ticks make a second.
const Ticks = userHZ

// StatOf reads /proc/PID/stat of whatever process has that number now: its start time
// tells whether it is the one that is meant.
func StatOf(pid int) (Stat, error) {
	p, err := OpenDir(pid)
	if err != nil {
		return Stat{}, err
	}
	defer p.Close()
	return p.Stat()
}

// ReadlinkOf reads a link in the directory of whatever process has that number now.
func ReadlinkOf(pid int, name string) (string, error) {
	path := make([]byte, 0, len("/proc/4194304/")+len(name))
	path = append(strconv.AppendInt(append(path, "/proc/"...), int64(pid), 10), '/')
	var buf [unix.PathMax]byte
	n, err := unix.Readlink(string(append(path, name...)), buf[:])
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}
