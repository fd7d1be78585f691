// Package world runs a program in a world of its own: fresh PID, mount, IPC, UTS,
// network and cgroup namespaces, in which "the host" is what the program made. No
// foreign container, engine, interface or process is in sight, and when the
// world's init ends the kernel ends everything in it, daemons included.
//
// Three processes make one. The program that calls Enter starts a *keeper*, the
// same binary again, outside of the world and deaf to what ends a run. The keeper
// starts the world's *init*, which mounts what a host has and starts the program
// once more, now inside. When the program outside ends, however it ends (also by
// SIGKILL), a pipe closes: the keeper kills init and removes the world's cgroups,
// which are all that namespaces do not take with them.
//
// What is run in a world does not belong here.
package world

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
)

// stageEnv tells a process of this binary which of the three it is.
const stageEnv = "DX_E2E_STAGE"

const (
	stageKeeper = "keeper"
	stageInit   = "init"
	stageInside = "inside"
)

// chosenEnv is set to "host" where the machine is the run's own already, as a
// virtual machine is: the program then runs on it as it is.
const chosenEnv = "DX_TEST_WORLD"

// HostNetwork is the network namespace outside, for nsenter --net: a test that
// needs a package mirror has no other way to it.
const HostNetwork = "/proc/1/fd/5"

// networkEnv tells a world in a world where it is: what that one calls HostNetwork is the
// machine's, too.
const networkEnv = "DX_E2E_NETWORK"

// inside is set in init, and not read from the environment later: what is started
// inside may make a world in the world.
var inside bool

// init and not a function to call: the stages must begin on the main thread,
// before anything else of the binary runs.
func init() {
	stage := os.Getenv(stageEnv)
	os.Unsetenv(stageEnv)
	switch stage {
	case stageKeeper:
		os.Exit(keep())
	case stageInit:
		os.Exit(initialise())
	case stageInside:
		inside = true
		os.Setenv(networkEnv, HostNetwork)
	}
}

// Inside reports whether this process runs in a world of its own.
func Inside() bool { return inside }

// Enter runs the program in a world of its own and returns its exit code. Without
// root, or where DX_TEST_WORLD is "host", it runs here.
func Enter(run func() int) int {
	if inside || os.Geteuid() != 0 || os.Getenv(chosenEnv) == "host" {
		return run()
	}
	code, err := enter()
	if err != nil {
		fmt.Fprintln(os.Stderr, "world:", err)
		return 1
	}
	return code
}

// enter starts the keeper and waits for it. What would end this process ends the
// world first, so that nothing is left when it is gone.
func enter() (int, error) {
	alive, hold, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer hold.Close()
	cmd := stage(stageKeeper, alive)
	cmd.Stdin = os.Stdin
	// A session of its own: ctrl-C in the terminal is not for the keeper.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(ended)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start the keeper: %w", err)
	}
	alive.Close()
	go func() {
		<-ended
		hold.Close()
	}()
	return exitCode(cmd.Wait())
}

// stage prepares this binary with its own arguments as another stage. The files
// become its descriptors from 3 on.
func stage(name string, files ...*os.File) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe")
	cmd.Args = os.Args
	cmd.Env = append(os.Environ(), stageEnv+"="+name)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.ExtraFiles = files
	return cmd
}

func exitCode(err error) (int, error) {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return 0, err
	}
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal()), nil
	}
	return exit.ExitCode(), nil
}
