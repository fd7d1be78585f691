package launch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// A deputy that waits for a silent file system is left behind, and the next call
// finds another.
func TestDeputyOutlivesSilence(t *testing.T) {
	needRoot(t)
	silent := mountSilentFUSE(t)
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

// A program that is at a step is found there.
func TestStepOf(t *testing.T) {
	p := &Program{Steps: []*Step{
		{Name: "chdir", Nr: unix.SYS_CHDIR, Args: []Arg{str("/a")}},
		{Name: "chdir", Nr: unix.SYS_CHDIR, Args: []Arg{str("/b")}, Stage: StageCwd},
		{Name: "chdir", Nr: unix.SYS_CHDIR, Args: []Arg{str("/c")}, Stage: StageCwd},
	}}
	img := p.Image()
	at := func(i int) string {
		arg := binary.NativeEndian.Uint64(img[segmentAlign+headerSize+i*stepSize+offArgs:])
		return fmt.Sprintf("80 %#x", arg) + " 0x0 0x0 0x0 0x0 0x0 0x7ffd 0x401000"
	}
	if unix.SYS_CHDIR != 80 {
		t.Skip("numbers of amd64")
	}
	for i, want := range []*Step{nil, p.Steps[1], p.Steps[2]} {
		if got := p.stepOf(img, at(i)); got != want {
			t.Errorf("step %d: %v, want %v", i, got, want)
		}
	}
	for _, text := range []string{"running\n", "-1 0x7ffd 0x401000\n", "", "80 0x1 0x0 0x0 0x0 0x0 0x0 0x7ffd 0x401000"} {
		if got := p.stepOf(img, text); got != nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}
