package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"dx/e2e/engine"
)

// A loop of docker exec over mostLoops containers takes some ten seconds.
const (
	mostLoops      = 100
	everywhereRuns = 3
)

// starters is how many containers are started at a time.
const starters = 8

// scale compares the listings while an engine has more and more idle containers,
// and at last with more processes beside them. Everything runs in containers of the
// engine, and so ends with it.
func scale(dx string, runs int, sizes []int, processes int) (err error) {
	if len(sizes) == 0 {
		return nil
	}
	e, err := engine.Start(engine.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	b := &bench{engine: e}
	have := 0
	for _, n := range slices.Sorted(slices.Values(sizes)) {
		if err := b.idle(have, n); err != nil {
			return err
		}
		have = max(have, n)
		if err := b.listings(dx, runs, fmt.Sprintf("%d containers", have)); err != nil {
			return err
		}
		if have > 0 && have <= mostLoops {
			if err := b.everywhere(dx, everywhereRuns, have); err != nil {
				return err
			}
		}
	}
	if processes == 0 {
		return nil
	}
	if err := b.crowd(processes); err != nil {
		return err
	}
	return b.listings(dx, runs, fmt.Sprintf("%d containers, and %d processes in one more", have, processes))
}

// idle starts containers until there are so many.
func (b *bench) idle(have, want int) error {
	slots := make(chan struct{}, starters)
	failed := make(chan error, max(0, want-have))
	for i := have; i < want; i++ {
		slots <- struct{}{}
		go func() {
			_, err := b.output("docker", "run", "-d", "--network", "none", "--log-driver", "none", "--name", fmt.Sprint("idle-", i), engine.Busybox)
			failed <- err
			<-slots
		}()
	}
	var errs []error
	for range max(0, want-have) {
		errs = append(errs, <-failed)
	}
	return errors.Join(errs...)
}

// crowd starts a container with so many processes, and waits until they are there.
func (b *bench) crowd(n int) error {
	const script = `i=0; while [ $i -lt %d ]; do sleep 100000 & i=$((i+1)); done; touch /ready; wait`
	if _, err := b.output("docker", "run", "-d", "--network", "none", "--name", "crowd", engine.Busybox, "sh", "-c", fmt.Sprintf(script, n)); err != nil {
		return err
	}
	for range 600 {
		if _, err := b.output("docker", "exec", "crowd", "test", "-e", "/ready"); err == nil {
			return nil
		}
		time.Sleep(200 * time.Millisecond)
	}
	return fmt.Errorf("%d processes are not there within two minutes", n)
}

// listings compares with docker ps and lsns. What dx does without the engine is a
// row of its own. The timeout is long: a busy machine shall not change whom dx asks.
func (b *bench) listings(dx string, runs int, title string) error {
	docker := candidate{name: "docker ps", args: []string{"docker", "ps"}}
	for _, verb := range []string{"ps", "ns"} {
		asking := candidate{name: "dx " + verb, args: []string{dx, "--api-timeout", "20s", verb}}
		alone := candidate{name: "dx " + verb + " (host)", args: []string{dx, "--source", "host", verb}}
		for _, own := range []candidate{asking, alone} {
			b.candidates = []candidate{own, docker, lsns}
			if err := b.compare(title+": "+own.name, runs); err != nil {
				return err
			}
			peak, err := b.peak(own.args)
			if err != nil {
				return err
			}
			fmt.Printf("  %-14s %10.1f MiB at its peak\n", own.name, peak)
		}
	}
	return nil
}

// peak is the most memory that a command has had, in MiB. The kernel counts from
// before the execve: it is at least this program's own (exec_mmap, fs/exec.c).
func (b *bench) peak(args []string) (float64, error) {
	cmd := b.engine.Command(context.Background(), args...)
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("%q: %w", args, err)
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, errors.New("the system does not count memory")
	}
	return float64(usage.Maxrss) / 1024, nil
}

// parseSizes reads a list as 10,100,300; empty is none.
func parseSizes(list string) ([]int, error) {
	var out []int
	for _, text := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%q is no number of containers", text)
		}
		out = append(out, n)
	}
	return out, nil
}
