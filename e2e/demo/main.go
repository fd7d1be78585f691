// Command demo shows dx getting past a dockerd that is stopped, on an engine that it starts
// in a world of its own; where it cannot start one, dx on a throw-away container of the
// engine that answers, which it does not stop; else, on a host without Docker, on a process
// in fresh namespaces. It removes what it made, also when it is interrupted.
//
//	go run ./e2e/demo bin/dx
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"dx/e2e/world"
)

// wayEnv tells the demo inside a world which way is tried there.
const wayEnv = "DX_DEMO_WAY"

// notHere is the exit code for a way that this host does not have.
const notHere = 3

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: demo DX")
		os.Exit(2)
	}
	if world.Inside() {
		os.Exit(show(map[string]way{"engine": (*demo).withEngine, "process": (*demo).onProcess}[os.Getenv(wayEnv)]))
	}
	os.Exit(outside())
}

// outside tries the ways in turn and returns the exit code.
func outside() int {
	if os.Geteuid() != 0 {
		fmt.Fprintln(os.Stderr, "demo: entering another process's namespaces takes root: sudo make demo")
		return 1
	}
	code := inWorld("engine")
	if code == notHere && exec.Command("timeout", "10", "docker", "info").Run() == nil {
		code = show((*demo).onEngine)
	}
	if code == notHere {
		code = inWorld("process")
	}
	return code
}

func inWorld(name string) int {
	os.Setenv(wayEnv, name)
	return world.Enter(func() int {
		fmt.Fprintln(os.Stderr, "demo: this needs a world of its own: unset DX_TEST_WORLD")
		return 1
	})
}

// way is one of showing dx.
type way func(*demo) error

// show shows one way and returns the exit code. ctrl-C and a closed pipe end the demo by the
// context, so that what it made is removed.
func show(way way) int {
	ctx, stop := signal.NotifyContext(context.Background(),
		os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer stop()
	err := asDx(os.Args[1])
	if err == nil {
		err = way(&demo{ctx: ctx})
	}
	var no *notHereError
	switch {
	case errors.As(err, &no):
		fmt.Printf("# (%v)\n", err)
		return notHere
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	return 0
}

// asDx makes a program be found as "dx", as whoever follows the demo would type it.
func asDx(program string) error {
	dx, err := filepath.Abs(program)
	if err == nil && filepath.Base(dx) != "dx" {
		err = fmt.Errorf("%s is not called dx", dx)
	}
	if err == nil {
		err = os.Setenv("PATH", filepath.Dir(dx)+":"+os.Getenv("PATH"))
	}
	return err
}

// notHereError: this host cannot show it in this way; another may do.
type notHereError struct{ err error }

func (e *notHereError) Error() string { return e.err.Error() }
func (e *notHereError) Unwrap() error { return e.err }

type demo struct {
	ctx context.Context
	env []string
}

func say(text string) { fmt.Printf("\n# %s\n", text) }

func (d *demo) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), d.env...)
	return cmd
}

// show prints a command line and what it prints, and wants one of the exit codes: 0 if none
// is given.
func (d *demo) show(args []string, codes ...int) error {
	line := args[len(args)-1] // of sh -c
	if args[0] != "sh" {
		line = quoted(args)
	}
	fmt.Printf("\n$ %s\n", line)
	cmd := d.command(d.ctx, args...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	err := cmd.Run()
	if d.ctx.Err() != nil {
		return d.ctx.Err()
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		for _, code := range codes {
			if exit.ExitCode() == code {
				fmt.Printf("(exit code %d)\n", code)
				return nil
			}
		}
	}
	if err != nil {
		return fmt.Errorf("%s: %w", line, err)
	}
	return nil
}

// quoted is a command line as somebody would type it.
func quoted(args []string) string {
	var words []string
	for _, a := range args {
		if strings.ContainsAny(a, " $;|") {
			a = "'" + a + "'"
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}

// quiet runs a command whose output matters only when it fails.
func (d *demo) quiet(args ...string) error {
	ctx, cancel := context.WithTimeout(d.ctx, 30*time.Second)
	defer cancel()
	if b, err := d.command(ctx, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%q: %w: %s", args, err, b)
	}
	return nil
}

// afterwards runs also when the demo was interrupted.
func (d *demo) afterwards(args ...string) error {
	clean := demo{ctx: context.WithoutCancel(d.ctx), env: d.env}
	return clean.quiet(args...)
}
