package launch

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// noticeFile holds the place of the notice among a program's files: the write
// end of a pipe. Init closes it once the command runs or has failed to, a keeper once
// P has ended.
var noticeFile = &os.File{}

// openNotice returns both ends of a notice, nil ones for a program that gives none.
func (p *Program) openNotice() (r, w *os.File, err error) {
	if !p.init && !p.kept {
		return nil, nil, nil
	}
	return os.Pipe()
}

// atPause waits until P has stopped itself, lets the caller's part be done and
// continues it. A P that ended instead is left for waitFor to see.
func (p *Program) atPause(pid int) error {
	if p.paused == nil {
		return nil
	}
	if err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		return fmt.Errorf("wait for the program to stop: %w", err)
	}
	if st, err := proc.StatOf(pid); err != nil || st.Dead() {
		return err
	}
	err := p.paused(pid)
	if err != nil {
		kill(pid, nil)
		_, _ = reap(pid)
		return err
	}
	return unix.Kill(pid, unix.SIGCONT)
}

// awaitInit waits until init has started the command, or has failed.
func awaitInit(ctx context.Context, r *os.File, rep *report) error {
	if r == nil {
		return nil
	}
	stop := context.AfterFunc(ctx, func() { _ = r.SetReadDeadline(time.Now()) })
	defer stop()
	if _, _ = r.Read(make([]byte, 1)); ctx.Err() == nil {
		return nil
	}
	if child := rep.child(); child > 0 && isChild(child) {
		kill(child, nil)
		_, _ = reap(child)
	}
	return context.Cause(ctx)
}
