package world

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// initialise is the life of the world's init: it furnishes the world, starts the
// program in it and reaps, until the program ends.
func initialise() int {
	for _, fd := range []int{3, 4, 5} {
		unix.CloseOnExec(fd)
	}
	// When the keeper is gone, so is the world: the kernel ends all that is in it.
	go func() {
		_, _ = os.NewFile(3, "keeper").Read(make([]byte, 1))
		os.Exit(1)
	}()
	code := 1
	if err := furnish(); err != nil {
		fmt.Fprintln(os.Stderr, "world:", err)
	} else if code, err = runInside(); err != nil {
		fmt.Fprintln(os.Stderr, "world:", err)
		code = 1
	}
	_, _ = unix.Write(4, []byte{0}) // the keeper may thaw what hinders the end
	return code
}

// furnish makes of fresh namespaces what a host looks like.
func furnish() error {
	unix.Umask(0o022)
	return errors.Join(
		unix.Sethostname([]byte("dx-world")),
		loopbackUp(),
		mountAll(),
		leafCgroup(),
	)
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("set the loopback interface up: %w", err)
	}
	return nil
}

// leafCgroup moves the init out of the v2 root of the world, which is no real
// root: one with processes cannot give its children controllers.
func leafCgroup() error {
	hierarchies, err := Hierarchies()
	if err != nil {
		return err
	}
	for _, h := range hierarchies {
		if !h.V2 {
			continue
		}
		leaf := filepath.Join(h.Mount, "init")
		if err := os.Mkdir(leaf, 0o755); err != nil {
			return err
		}
		if err := enterCgroup(leaf); err != nil {
			return err
		}
		available, err := os.ReadFile(filepath.Join(h.Mount, "cgroup.controllers"))
		if err != nil {
			return err
		}
		for c := range strings.FieldsSeq(string(available)) {
			// One that the kernel does not delegate now (a busy cpu) is left out.
			_ = os.WriteFile(filepath.Join(h.Mount, "cgroup.subtree_control"), []byte("+"+c), 0)
		}
	}
	return nil
}

// runInside starts the program and reaps every orphan until it ends.
func runInside() (int, error) {
	cmd := stage(stageInside)
	cmd.Env = append(cmd.Env, "TMPDIR="+temporary)
	cmd.Stdin = os.Stdin
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	for {
		var status unix.WaitStatus
		pid, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return 0, fmt.Errorf("wait for the program: %w", err)
		case pid != cmd.Process.Pid:
		case status.Signaled():
			return 128 + int(status.Signal()), nil
		default:
			return status.ExitStatus(), nil
		}
	}
}
