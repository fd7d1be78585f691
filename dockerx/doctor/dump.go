package doctor

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// Dump is what a daemon wrote of its goroutines.
type Dump struct {
	Of         string // dockerd, containerd
	PID        int
	File       string `json:",omitempty"` // as the daemon's root names it
	Goroutines int    `json:",omitempty"`
	Groups     []Group
	Error      string `json:",omitempty"` // why there is none

	text []byte
}

// dumpTime bounds the wait for a dump.
const dumpTime = 10 * time.Second

// maxGroups is how many groups a dump keeps.
const maxGroups = 20

// Dump sends the dockerd that was asked, and its containerd, SIGUSR1, by which they
// write their goroutines to a file and go on, and reads the files. A daemon gets no
// signal unless it certainly is what it is called and belongs to the engine that was
// asked: others die of it, or are none of the caller's business.
func (p *Examination) Dump(ctx context.Context) []Dump {
	p.mu.Lock()
	d, c := p.dockerd, p.containerd
	p.mu.Unlock()
	if d == nil {
		return []Dump{{Of: "dockerd", Error: fmt.Sprintf("no process was found that listens on %s, and no signal is sent", p.address.Host)}}
	}
	wait := []<-chan Dump{p.dump(ctx, "dockerd", d, p.dumpDockerd)}
	if c != nil {
		wait = append(wait, p.dump(ctx, "containerd", c, p.dumpContainerd))
	}
	var out []Dump
	for _, w := range wait {
		out = append(out, <-w)
	}
	return out
}

// dump takes one beside others. A file system that does not answer holds it, not dx.
func (p *Examination) dump(ctx context.Context, of string, pr *proc.Process, take func(context.Context, *Dump, *proc.Process) error) <-chan Dump {
	ctx, cancel := context.WithTimeout(ctx, dumpTime)
	done, out := make(chan Dump, 1), make(chan Dump, 1)
	go func() {
		d := Dump{Of: of, PID: pr.PID}
		err := p.mayDump(of, pr)
		if err == nil {
			err = take(ctx, &d, pr)
		}
		if err != nil {
			d.Error = err.Error()
		}
		done <- d
	}()
	go func() {
		defer cancel()
		select {
		case d := <-done:
			out <- d
		case <-time.After(2 * dumpTime):
			out <- Dump{Of: of, PID: pr.PID, Error: fmt.Sprintf("no answer within %v", 2*dumpTime)}
		}
	}()
	return out
}

// mayDump returns why a daemon gets no signal.
func (p *Examination) mayDump(of string, pr *proc.Process) error {
	st, err := pr.Stat()
	if err != nil {
		return err
	}
	status, err := pr.ReadFile("status")
	if err != nil {
		return err
	}
	if how := pr.Stopped(st); how != "" {
		return fmt.Errorf("%s is stopped (%s): it can write nothing", of, how)
	}
	if reason := p.doubt(of, pr, st, status); reason != "" {
		return fmt.Errorf("pid %d, called %q, gets no signal: %s", pr.PID, st.Comm, reason)
	}
	return nil
}

func (p *Examination) doubt(of string, pr *proc.Process, st proc.Stat, status []byte) string {
	p.mu.Lock()
	d, trust, sockets := p.dockerd, p.trust, p.sockets
	p.mu.Unlock()
	ids, err := proc.ParseStatus(status)
	me := uint32(os.Geteuid())
	switch {
	case err != nil:
		return err.Error()
	case st.Comm != of:
		return "it is no " + of
	case ids.UID != [4]uint32{me, me, me, me}:
		return fmt.Sprintf("it runs as uid %d, not as dx does", ids.UID[0])
	case trust == nil || !trust.Host(pr):
		return "it is not the host's"
	case ids.SigCgt&(1<<(unix.SIGUSR1-1)) == 0:
		return "it does not catch SIGUSR1, and would die of it"
	case of == "containerd" && st.PPID != d.PID && !connected(d.PID, pr.PID, sockets):
		return fmt.Sprintf("it is not certain that it serves dockerd (pid %d): it is no child of it, and they are not connected", d.PID)
	}
	return ""
}

// dumpContainerd has containerd write TMPDIR/containerd.PID.stacks.log (containerd,
// cmd/containerd/command/main_unix.go). It opens that by os.Create, which follows
// links, in a directory where anybody may make one: dx makes the file first, or takes
// its own or the daemon's from an earlier time. In a sticky directory nobody else can
// exchange it then, neither for containerd nor for dx.
func (p *Examination) dumpContainerd(ctx context.Context, d *Dump, pr *proc.Process) error {
	dir, err := openDumpDir(pr, tempDir(pr), true)
	if err != nil {
		return err
	}
	defer dir.Close()
	name := fmt.Sprintf("containerd.%d.stacks.log", pr.PID)
	f, made, err := reserve(dir, name)
	if err != nil {
		return err
	}
	defer f.Close()
	before := statOf(f)
	err = askForStacks(pr)
	if err == nil {
		err = until(ctx, func() bool { return statOf(f) != before && written(pr, f, name) })
	}
	if err != nil {
		if made && statOf(f).size == 0 {
			_ = unix.Unlinkat(int(dir.Fd()), name, 0)
		}
		return fmt.Errorf("no dump in %s: %w; it may be in containerd's log", f.Name(), err)
	}
	return d.read(f)
}

// dumpDockerd has dockerd write EXEC-ROOT/goroutine-stacks-TIME.log (moby,
// daemon/debugtrap_unix.go). The name is known only afterwards: nobody but the daemon
// may be able to make files there.
func (p *Examination) dumpDockerd(ctx context.Context, d *Dump, pr *proc.Process) error {
	p.mu.Lock()
	execRoot := p.engine.ExecRoot
	p.mu.Unlock()
	dir, err := openDumpDir(pr, execRoot, false)
	if err != nil {
		return err
	}
	defer dir.Close()
	before := dumpFiles(dir)
	if err := askForStacks(pr); err != nil {
		return err
	}
	var f *os.File
	err = until(ctx, func() bool { f = newDump(dir, pr, before); return f != nil })
	if err != nil {
		return fmt.Errorf("no dump in %s: %w; it may be in dockerd's log", dir.Name(), err)
	}
	defer f.Close()
	return d.read(f)
}

// askForStacks sends the signal on which both daemons write their goroutines.
func askForStacks(pr *proc.Process) error {
	h, err := pr.OpenHandle()
	if err != nil {
		return err
	}
	defer h.Close()
	return h.Signal(unix.SIGUSR1)
}

// until polls for a condition.
func until(ctx context.Context, condition func() bool) error {
	for !condition() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return nil
}

// written reports whether the daemon has written something and closed the file.
func written(pr *proc.Process, f *os.File, name string) bool {
	for _, link := range links(pr.PID) {
		if path.Base(link) == name {
			return false
		}
	}
	return statOf(f).size > 0
}

func (d *Dump) read(f *os.File) (err error) {
	if d.text, err = readAtMost(io.NewSectionReader(f, 0, math.MaxInt64), f.Name(), maxDump); err != nil {
		return err
	}
	list, err := ParseGoroutines(bytes.NewReader(d.text))
	d.File, d.Goroutines = f.Name(), len(list)
	d.Groups = GroupGoroutines(list)
	d.Groups = d.Groups[:min(len(d.Groups), maxGroups)]
	return err
}
