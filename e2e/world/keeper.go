package world

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dx/e2e/disposition"
)

// keep is the keeper's life: it starts the world, waits for its end, or ends it,
// and removes its cgroups.
func keep() int {
	Deaf()
	unix.Umask(0o022) // a remapped root must be able to pass through the cgroups
	unix.CloseOnExec(3)
	// Runs in PID namespaces of their own may have the same PID.
	groups, err := makeCgroups(fmt.Sprintf("dx-world-%d-%08x", os.Getpid(), rand.Uint32()))
	if err != nil {
		return complain(errors.Join(err, groups.remove()))
	}
	code, err := groups.run()
	if err := errors.Join(err, groups.remove()); err != nil {
		return complain(err)
	}
	return code
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, "world:", err)
	return 1
}

// Deaf makes this process survive what ends the run. Handlers and not SIG_IGN: an
// ignored signal stays ignored in all that is started.
func Deaf() {
	disposition.CatchIgnored()
	signal.Notify(make(chan os.Signal, 1),
		syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE)
}

// namespaces are those that a world has of its own. Its user and time namespaces
// are the host's: engines need root's rights there.
const namespaces = unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWIPC |
	unix.CLONE_NEWUTS | unix.CLONE_NEWNET | unix.CLONE_NEWCGROUP

// run starts the world's init and returns the program's exit code.
func (groups cgroups) run() (int, error) {
	alive, hold, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer hold.Close()
	done, tell, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer done.Close()
	network, err := os.Open(cmp.Or(os.Getenv(networkEnv), "/proc/self/ns/net"))
	if err != nil {
		return 0, err
	}
	defer network.Close()
	cmd := stage(stageInit, alive, tell, network)
	cmd.Stdin = os.Stdin
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces}
	if err := groups.bear(cmd); err != nil {
		return 0, err
	}
	alive.Close()
	tell.Close()
	go groups.end(cmd.Process, done)
	return exitCode(cmd.Wait())
}

// bear starts the init in the world's cgroups, which become the roots of its
// cgroup namespace.
func (groups cgroups) bear(cmd *exec.Cmd) error {
	if err := groups.join(); err != nil {
		return err
	}
	err := cmd.Start()
	if err != nil {
		err = fmt.Errorf("start the init of the world: %w", err)
	}
	return errors.Join(err, groups.leave())
}

// end kills the init when the run outside has ended. Whichever ends first, it lets
// what a v1 freezer holds die: the kernel waits for every process of the namespace.
func (groups cgroups) end(init *os.Process, done *os.File) {
	over := make(chan struct{}, 2)
	await := func(f *os.File, then func()) {
		_, _ = f.Read(make([]byte, 1))
		then()
		over <- struct{}{}
	}
	go await(os.NewFile(3, "the run"), func() { _ = init.Kill() }) // it may be gone
	go await(done, func() {})
	<-over
	for range time.Tick(50 * time.Millisecond) {
		groups.thaw()
	}
}
