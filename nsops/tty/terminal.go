package tty

import (
	"fmt"
	"os"
	"os/signal"
	"sync"

	"github.com/moby/term"
	"golang.org/x/sys/unix"
)

// Size is the size of a terminal in characters. Pixels are not passed on, as the
// Engine API has no field for them.
type Size struct{ Rows, Cols uint16 }

// SizeOf reads the size of a terminal. For anything else it is zero: docker exec
// takes the size of its standard output, which may be a file.
func SizeOf(f *os.File) Size {
	ws, err := term.GetWinsize(f.Fd())
	if err != nil {
		return Size{}
	}
	return Size{Rows: ws.Height, Cols: ws.Width}
}

// setSize works on a file that may be closed meanwhile.
func setSize(f *os.File, size Size) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return fmt.Errorf("size of the container's terminal: %w", err)
	}
	var ioctl error
	err = conn.Control(func(fd uintptr) {
		ioctl = term.SetWinsize(fd, &term.Winsize{Height: size.Rows, Width: size.Cols})
	})
	if err == nil {
		err = ioctl
	}
	if err != nil {
		return fmt.Errorf("set the size of the container's terminal: %w", err)
	}
	return nil
}

// Terminal is the caller's terminal in raw mode.
type Terminal struct {
	fd      uintptr
	state   *term.State // nil: nothing to restore
	restore func() error
}

// Raw puts the terminal into raw mode until Close. What is no terminal is left
// alone, and so is everything if the environment has NORAW, as in docker's client
// (docker/cli cli/streams/in.go).
func Raw(in *os.File) (*Terminal, error) {
	t := &Terminal{fd: in.Fd()}
	t.restore = sync.OnceValue(t.reset)
	if !term.IsTerminal(t.fd) || os.Getenv("NORAW") != "" {
		return t, nil
	}
	state, err := term.SetRawTerminal(t.fd)
	if err != nil {
		return nil, fmt.Errorf("put %s into raw mode: %w", in.Name(), err)
	}
	t.state = state
	return t, nil
}

// Close puts the terminal back, once; later and concurrent calls wait for that and
// return the same. It may be called while another goroutine reads the terminal.
func (t *Terminal) Close() error { return t.restore() }

func (t *Terminal) reset() error {
	if t.state == nil {
		return nil
	}
	if err := term.RestoreTerminal(t.fd, t.state); err != nil {
		return fmt.Errorf("restore the terminal: %w", err)
	}
	return nil
}

// followSize copies the size of the local terminal to the pty, now and at every
// SIGWINCH, until stop is called. A size that was not to be had is not copied.
func followSize(local, master *os.File) (stop func()) {
	winch := make(chan os.Signal, 1)
	done, ended := make(chan struct{}), make(chan struct{})
	signal.Notify(winch, unix.SIGWINCH)
	go func() {
		defer close(ended)
		for {
			// A pty that is gone is the relay's to notice.
			if size := SizeOf(local); size != (Size{}) {
				_ = setSize(master, size)
			}
			select {
			case <-winch:
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(winch)
		close(done)
		<-ended
	}
}
