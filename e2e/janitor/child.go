package janitor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"

	"dx/e2e/world"
)

// envName marks the process that is to be a janitor.
const envName = "DX_E2E_JANITOR"

// init and not a function to call: a test binary that forgot the call would run
// its tests again in the child, and again in the child's child.
func init() {
	spec := os.Getenv(envName)
	if spec == "" {
		return
	}
	os.Unsetenv(envName)
	os.Exit(serve(spec, os.NewFile(3, "commands"), os.NewFile(4, "replies")))
}

// serve is the janitor's life: set up, start what is asked for, sweep.
func serve(spec string, commands, replies *os.File) int {
	world.Deaf()
	// Programs started here must not hold the pipes: the end of a run is seen
	// by their closing.
	unix.CloseOnExec(3)
	unix.CloseOnExec(4)

	var c Config
	err := json.Unmarshal([]byte(spec), &c)
	if err == nil {
		err = setUp(c)
	}
	enc := json.NewEncoder(replies)
	enc.Encode(answerTo(os.Getpid(), err))
	if err == nil {
		obey(json.NewDecoder(commands), enc)
	}
	err = sweep(c)
	if enc.Encode(answerTo(0, err)) != nil && err != nil {
		fmt.Fprintf(os.Stderr, "sweep %s: %v\n", c.Dir, err)
	}
	if err != nil {
		return 1
	}
	return 0
}

func answerTo(pid int, err error) reply {
	if err != nil {
		return reply{PID: pid, Err: err.Error()}
	}
	return reply{PID: pid}
}

// obey carries out commands until the pipe closes.
func obey(dec *json.Decoder, enc *json.Encoder) {
	children := make(chan os.Signal, 1)
	signal.Notify(children, syscall.SIGCHLD)
	go func() {
		for range children {
			reap()
		}
	}()
	for {
		var cmd command
		if dec.Decode(&cmd) != nil {
			return
		}
		pid, err := spawn(cmd)
		enc.Encode(answerTo(pid, err))
	}
}

func setUp(c Config) error {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become a subreaper: %w", err)
	}
	if (c.Cgroup2 || len(c.Binds) > 0) && !c.PrivateMounts {
		return errors.New("mounts of a scope need a mount namespace of its own")
	}
	if c.Cgroup2 {
		if err := mountCgroup2(); err != nil {
			return err
		}
	}
	for target, file := range c.Binds {
		if err := unix.Mount(file, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("bind %s on %s: %w", file, target, err)
		}
	}
	return nil
}

// mountCgroup2 makes /sys/fs/cgroup what it is on a host with cgroup v2 only.
func mountCgroup2() error {
	const dir = "/sys/fs/cgroup"
	if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
		return fmt.Errorf("unmount %s: %w", dir, err)
	}
	if err := unix.Mount("none", dir, "cgroup2", 0, ""); err != nil {
		return fmt.Errorf("mount cgroup2 on %s: %w", dir, err)
	}
	return nil
}

func spawn(cmd command) (int, error) {
	log, err := os.OpenFile(cmd.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	p, err := os.StartProcess(cmd.Argv[0], cmd.Argv, &os.ProcAttr{
		Dir:   filepath.Dir(cmd.Log),
		Env:   cmd.Env,
		Files: []*os.File{null, log, log},
		Sys:   &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", cmd.Argv[0], err)
	}
	return p.Pid, nil
}

// reap collects every child that has exited, those inherited as subreaper too.
func reap() {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		if pid <= 0 && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
