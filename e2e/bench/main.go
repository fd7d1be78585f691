// Command bench compares dx exec with docker exec, runc exec and nsenter on one
// container of a private engine: what `true` costs in processor time, page faults and
// files, how long it takes, and 1 GiB of output and of input. It then compares dx ps and
// dx ns with docker ps and lsns over many containers, and a command in all of them. The
// candidates take turns, so that a busy moment meets all of them, in an order that is drawn
// anew each time: whoever always came after lsns would find the caches that it leaves.
//
//	go run ./e2e/bench [-runs 40] [-mib 1024] [-scale 10,100,300] [-processes 5000] bin/dx
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"dx/e2e/engine"
	"dx/e2e/world"
)

// candidate is a way to run a command in the container.
type candidate struct {
	name string
	args []string
	// fickle may fail because of what other programs do meanwhile, and is then run
	// again.
	fickle bool
	// slow is what it is called by where its files are counted: beneath strace the engine
	// is late, and dx would look at the host as well.
	slow []string
}

// counted is what runs beneath strace.
func (c candidate) counted() []string {
	if c.slow != nil {
		return c.slow
	}
	return c.args
}

// attempts bounds how often a fickle candidate is run again.
const attempts = 10

type bench struct {
	engine     *engine.Engine
	candidates []candidate
	procs      string // the file by which one joins a cgroup of the container's; empty: it has none of v1
}

func main() {
	runs := flag.Int("runs", 40, "how often each runs true; 0: only the listings")
	streams := flag.Int("streams", 3, "how often each sends the output")
	size := flag.Int("mib", 1024, "MiB of output")
	sizes := flag.String("scale", "10,100,300", "numbers of containers to list; empty: none")
	listings := flag.Int("listings", 15, "how often each lists them")
	processes := flag.Int("processes", 5000, "how many more processes there are at last")
	flag.Parse()
	containers, err := parseSizes(*sizes)
	if flag.NArg() != 1 || err != nil {
		flag.Usage()
		os.Exit(2)
	}
	os.Exit(world.Enter(func() int {
		dx, err := filepath.Abs(flag.Arg(0))
		if err == nil && *runs > 0 {
			err = on(engine.Options{}, dx, func(b *bench) error { return b.all(dx, *runs, *streams, *size) })
		}
		if err == nil && *runs > 0 && !engine.HostIsCgroup2() {
			err = on(engine.Options{Cgroup: engine.V2}, dx, func(b *bench) error { return b.v2(dx, *runs) })
		}
		if err == nil {
			err = scale(dx, *listings, containers, *processes)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			return 1
		}
		return 0
	}))
}

// on measures on an engine that is started for it.
func on(o engine.Options, dx string, measure func(*bench) error) (err error) {
	e, err := engine.Start(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Close()) }()
	b, err := prepare(e, dx)
	if err != nil {
		return err
	}
	return measure(b)
}

func (b *bench) all(dx string, runs, streams, size int) error {
	if err := b.costs(runs, "true"); err != nil {
		return err
	}
	if err := b.compare("exec c true", runs, "true"); err != nil {
		return err
	}
	if err := b.completion(dx, runs); err != nil {
		return err
	}
	title := fmt.Sprintf("%d MiB of stdout", size)
	if err := b.compare(title, streams, "dd", "if=/dev/zero", "bs=1M", fmt.Sprintf("count=%d", size)); err != nil {
		return err
	}
	if err := b.input(dx, streams, size); err != nil {
		return err
	}
	return b.whileStopped(dx, runs)
}

// v2 compares on cgroup v2, where a process can be born in its cgroup.
func (b *bench) v2(dx string, runs int) error {
	fmt.Println("cgroup v2:")
	if err := b.compare("exec c true", runs, "true"); err != nil {
		return err
	}
	if err := b.wide(); err != nil {
		return err
	}
	return b.whileStopped(dx, runs)
}

// wide runs a hundred at a time, sixteen side by side.
func (b *bench) wide() error {
	before := b.candidates
	defer func() { b.candidates = before }()
	b.candidates = nil
	for _, c := range before {
		c.args = slices.Concat([]string{"sh", "-c", `seq 100 | xargs -P 16 -I {} "$@"`, "sh"}, c.args)
		b.candidates = append(b.candidates, c)
	}
	return b.compare("exec c true, 100 times, 16 wide", everywhereRuns, "true")
}

// input compares what is sent to a command that throws it away.
func (b *bench) input(dx string, runs, size int) error {
	before := b.candidates
	defer func() { b.candidates = before }()
	fed := func(c candidate) candidate {
		c.args = slices.Concat([]string{"sh", "-c", fmt.Sprintf(`dd if=/dev/zero bs=1M count=%d 2>/dev/null | exec "$@"`, size), "sh"}, c.args)
		return c
	}
	b.candidates = []candidate{
		fed(candidate{name: "dx exec -i", args: []string{dx, "exec", "-i", "bench"}}),
		fed(candidate{name: "docker exec -i", args: []string{"docker", "exec", "-i", "bench"}}),
		fed(before[len(before)-1]),
	}
	return b.compare(fmt.Sprintf("%d MiB of stdin", size), runs, "sh", "-c", "cat >/dev/null")
}

// whileStopped compares what works without dockerd, which is stopped meanwhile.
func (b *bench) whileStopped(dx string, runs int) error {
	if err := syscall.Kill(b.engine.PID, syscall.SIGSTOP); err != nil {
		return err
	}
	defer func() { _ = syscall.Kill(b.engine.PID, syscall.SIGCONT) }()
	nsenter := b.candidates[len(b.candidates)-1]
	b.candidates = []candidate{{name: "dx exec (host)", args: []string{dx, "--source", "host", "exec", "bench"}}, nsenter}
	if b.procs != "" {
		join := []string{"sh", "-c", `echo 0 >"$0" && exec "$@"`, b.procs}
		b.candidates = append(b.candidates, candidate{name: "into a cgroup, nsenter -a", args: slices.Concat(join, nsenter.args)})
	}
	if err := b.compare("dockerd stopped: exec c true", runs, "true"); err != nil {
		return err
	}
	b.candidates = []candidate{{name: "dx ps (host)", args: []string{dx, "--source", "host", "ps"}}, lsns}
	return b.compare("dockerd stopped: list", runs)
}

// lsns gives up where a process vanishes while it reads.
var lsns = candidate{name: "lsns -J", args: []string{"lsns", "-J"}, fickle: true}

func prepare(e *engine.Engine, dx string) (*bench, error) {
	b := &bench{engine: e}
	id, err := b.output("docker", "run", "-d", "--name", "bench", engine.Busybox)
	if err != nil {
		return nil, err
	}
	pid, err := b.output("docker", "inspect", "-f", "{{.State.Pid}}", "bench")
	if err != nil {
		return nil, err
	}
	if e.Cgroup != engine.V2 {
		if b.procs, err = procsFile(pid); err != nil {
			return nil, err
		}
	}
	b.candidates = []candidate{
		{name: "dx exec", args: []string{dx, "exec", "bench"}, slow: []string{dx, "--source", "engine", "exec", "bench"}},
		{name: "docker exec", args: []string{"docker", "exec", "bench"}},
		{name: "runc exec", args: []string{"runc", "--root", e.Dir + "/exec/runtime-runc/moby", "exec", id}},
		{name: "nsenter -a", args: []string{"nsenter", "-a", "-t", pid}},
	}
	return b, nil
}

// procsFile is the cgroup.procs of a process's cgroup in the hierarchy of memory on v1.
func procsFile(pid string) (string, error) {
	text, err := os.ReadFile("/proc/" + pid + "/cgroup")
	for line := range strings.Lines(string(text)) {
		if _, dir, ok := strings.Cut(line, ":memory:"); ok {
			return "/sys/fs/cgroup/memory" + strings.TrimSpace(dir) + "/cgroup.procs", err
		}
	}
	return "", err
}

func (b *bench) output(args ...string) (string, error) {
	out, err := b.engine.Command(context.Background(), args...).Output()
	if err != nil {
		return "", fmt.Errorf("%q: %w", args, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// compare lets the candidates run the command in turns and prints a table.
func (b *bench) compare(title string, runs int, command ...string) error {
	times := make([][]time.Duration, len(b.candidates))
	for i := range runs + 1 {
		for _, n := range rand.Perm(len(b.candidates)) {
			c := b.candidates[n]
			took, err := b.once(slices.Concat(c.args, command))
			for n := 1; err != nil && c.fickle && n < attempts; n++ {
				took, err = b.once(c.args)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if i > 0 { // the first round fills caches
				times[n] = append(times[n], took)
			}
		}
	}
	b.print(title, runs, times)
	return nil
}

// once measures from start to exit. The output goes through a pipe, as it does
// for whoever reads it.
func (b *bench) once(args []string) (time.Duration, error) {
	cmd := b.engine.Command(context.Background(), args...)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	start := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	if _, err := io.CopyBuffer(discard{}, out, make([]byte, 1<<20)); err != nil {
		return 0, err
	}
	err = cmd.Wait()
	return time.Since(start), err
}

// discard is io.Discard without ReadFrom, whose buffer is too small to keep up.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func (b *bench) print(title string, runs int, times [][]time.Duration) {
	fmt.Printf("%s (%d runs each, in turns)\n", title, runs)
	first := median(times[0])
	for n, c := range b.candidates {
		m := median(times[n])
		fmt.Printf("  %-25s %10.1f ms   dx takes %5.2f of it   at best %.1f ms\n", c.name, ms(m), float64(first)/float64(m), ms(slices.Min(times[n])))
	}
}

func median(d []time.Duration) time.Duration {
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
