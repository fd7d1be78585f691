package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// costs prints what does not depend on how busy the machine is: processor time, page faults
// and files opened by a command and its children. Of docker exec that is the client's part
// alone.
func (b *bench) costs(runs int, command ...string) error {
	fmt.Printf("costs of exec c true (median of %d; of docker exec the client's alone)\n", runs)
	for _, c := range b.candidates {
		args := slices.Concat(c.args, command)
		var times []time.Duration
		var faults []int64
		for range runs {
			t, n, err := b.usage(args)
			if err != nil {
				return err
			}
			times, faults = append(times, t), append(faults, n)
		}
		opens, err := b.opens(slices.Concat(c.counted(), command))
		if err != nil {
			return err
		}
		slices.Sort(faults)
		fmt.Printf("  %-14s %10.1f ms of processor %8d page faults %6s files opened\n", c.name, ms(median(times)), faults[len(faults)/2], opens)
	}
	return nil
}

// usage runs a command and returns its processor time and page faults.
func (b *bench) usage(args []string) (time.Duration, int64, error) {
	cmd := b.engine.Command(context.Background(), args...)
	if err := cmd.Run(); err != nil {
		return 0, 0, fmt.Errorf("%q: %w", args, err)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, 0, errors.New("the system does not count page faults")
	}
	return cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(), usage.Minflt + usage.Majflt, nil
}

// opened is a line of strace's for a call that has opened a file.
var opened = regexp.MustCompile(`(?m)\) = \d+$`)

// opens counts the files that a command opens; "?" where there is no strace.
func (b *bench) opens(args []string) (string, error) {
	if path, _ := exec.LookPath("strace"); path == "" {
		return "?", nil
	}
	log := filepath.Join(b.engine.Dir, "opens.log")
	strace := []string{"strace", "-f", "-qq", "-e", "trace=open,openat,openat2", "-e", "signal=none", "-o", log}
	if _, err := b.output(slices.Concat(strace, args)...); err != nil {
		return "", err
	}
	text, err := os.ReadFile(log)
	return fmt.Sprint(len(opened.FindAll(text, -1))), err
}

// completion compares what a shell asks when the tab key is pressed.
func (b *bench) completion(dx string, runs int) error {
	before := b.candidates
	defer func() { b.candidates = before }()
	b.candidates = []candidate{
		{name: "dx", args: []string{dx, "__complete", "exec", "b"}},
		{name: "docker", args: []string{"docker", "__complete", "exec", "b"}},
	}
	return b.compare("completion of exec b", runs)
}

// everywhere compares a command in all containers: by one dx, and in loops of a shell.
func (b *bench) everywhere(dx string, runs, containers int) error {
	pids, err := b.output("sh", "-c", `docker inspect -f '{{.State.Pid}}' $(docker ps -q)`)
	if err != nil {
		return err
	}
	loop := func(command string) []string { return []string{"sh", "-ec", command} }
	b.candidates = []candidate{
		{name: "dx exec --all", args: []string{dx, "--api-timeout", "20s", "exec", "--all", "--", "true"}},
		{name: "docker exec", args: loop(`for c in $(docker ps -q); do docker exec $c true; done`)},
		{name: "nsenter -a", args: loop("for p in " + strings.Join(strings.Fields(pids), " ") + "; do nsenter -a -t $p true; done")},
	}
	return b.compare(fmt.Sprintf("true in %d containers", containers), runs)
}
