package launch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/await"
	"dx/e2e/standin"
)

// A deputy that waits for a silent file system is left behind, and the next call
// finds another.
func TestDeputyOutlivesSilence(t *testing.T) {
	needRoot(t)
	silent := standin.SilentMount(t)
	var d Deputy
	defer d.Close()
	stat := func(path string) error {
		return d.Do(func(c *Call) error {
			copy(c.Room(), path+"\x00")
			_, err := c.Syscall(unix.SYS_STATFS, c.Address(0), c.Address(4096))
			return err
		})
	}
	for path, want := range map[string]error{silent: ErrSilent, "/": nil, "/no/such/place": unix.ENOENT} {
		if err := stat(path); !errors.Is(err, want) {
			t.Errorf("statfs of %s: %v, want %v", path, err, want)
		}
	}
	if err := stat(silent); !errors.Is(err, ErrSilent) {
		t.Errorf("again: %v", err)
	}
}

// A file goes to the deputy and comes back as another descriptor of the same.
func TestDeputyFiles(t *testing.T) {
	var d Deputy
	defer d.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	err = d.Do(func(c *Call) error {
		fd, err := c.Give(w)
		if err != nil {
			return err
		}
		w.Close()
		back, err := c.Take(fd, "back")
		if err != nil {
			return err
		}
		defer back.Close()
		_, err = back.WriteString("hello")
		return err
	})
	got := make([]byte, 8)
	if n, _ := r.Read(got); err != nil || string(got[:n]) != "hello" {
		t.Errorf("%v, read %q", err, got[:n])
	}
}

// What a hostile file system gets hold of is a process that shows nothing and has nothing.
func TestDeputyIsConfined(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	if _, err := unix.FcntlInt(w.Fd(), unix.F_SETFD, 0); err != nil { // as a caller hands one down
		t.Fatal(err)
	}
	var d Deputy
	defer d.Close()
	pid := 0
	err = d.Do(func(c *Call) error {
		pid = c.p.pid
		if _, err := c.Syscall(unix.SYS_GETPID); err != nil { // it takes calls by now
			return err
		}
		if group, err := unix.Getpgid(pid); err != nil || group != pid {
			t.Errorf("it is in process group %d, %v, where signals for dx's terminal go", group, err)
		}
		if dumpable, err := c.Syscall(unix.SYS_PRCTL, unix.PR_GET_DUMPABLE); err != nil || dumpable != 0 {
			t.Errorf("it is dumpable: %d, %v", dumpable, err)
		}
		for fd := uint64(firstFile + 1); fd <= 64; fd++ {
			if _, err := c.Syscall(unix.SYS_FCNTL, fd, unix.F_GETFD); !errors.Is(err, unix.EBADF) {
				t.Errorf("descriptor %d is open: %v", fd, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	await.Until(t, "the deputy has ended and is reaped", func() bool { return errors.Is(unix.Kill(pid, 0), unix.ESRCH) })
}

// One that has been killed is no silent file system, and the next call has another.
func TestDeputyIsReplaced(t *testing.T) {
	var d Deputy
	defer d.Close()
	getpid := func(kill bool) (pid int, err error) {
		err = d.Do(func(c *Call) error {
			if pid = c.p.pid; kill {
				if err := unix.Kill(pid, unix.SIGKILL); err != nil {
					return err
				}
			}
			got, err := c.Syscall(unix.SYS_GETPID)
			if err == nil && int(got) != pid {
				t.Errorf("pid %d says that it is %d", pid, got)
			}
			return err
		})
		return pid, err
	}
	first, err := getpid(true)
	if !errors.Is(err, errDeputyGone) {
		t.Errorf("a deputy that was killed: %v", err)
	}
	if second, err := getpid(false); err != nil || second == first {
		t.Errorf("the next one: pid %d after %d, %v", second, first, err)
	}
	await.Until(t, "the first is reaped", func() bool { return errors.Is(unix.Kill(first, 0), unix.ESRCH) })
}

// A program that is at a step is found there.
func TestStepOf(t *testing.T) {
	p := &Program{Steps: []*Step{
		{Name: "chdir", Nr: unix.SYS_CHDIR, Args: []Arg{str("/a")}},
		{Name: "chdir", Nr: unix.SYS_CHDIR, Args: []Arg{str("/b")}, Stage: StageCwd},
		{Name: "chdir", Nr: unix.SYS_CHDIR, Args: []Arg{str("/c")}, Stage: StageCwd},
	}}
	data := p.image().data
	at := func(i int) string {
		arg := binary.NativeEndian.Uint64(data[headerSize+i*stepSize+offArgs:])
		return fmt.Sprintf("80 %#x", arg) + " 0x0 0x0 0x0 0x0 0x0 0x7ffd 0x401000"
	}
	if unix.SYS_CHDIR != 80 {
		t.Skip("numbers of amd64")
	}
	for i, want := range []*Step{nil, p.Steps[1], p.Steps[2]} {
		if got := p.stepOf(data, at(i)); got != want {
			t.Errorf("step %d: %v, want %v", i, got, want)
		}
	}
	for _, text := range []string{"running\n", "-1 0x7ffd 0x401000\n", "", "80 0x1 0x0 0x0 0x0 0x0 0x0 0x7ffd 0x401000"} {
		if got := p.stepOf(data, text); got != nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}
