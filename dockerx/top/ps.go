package top

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"dx/nsops/proc"
)

// As dockerd does it (moby, daemon/top_unix.go), whose texts these are: the host's ps(1) is
// run with the caller's options, and what it prints of other processes is left out.

// ErrNoPID says that the options of ps make it print no column PID.
var ErrNoPID = errors.New("Couldn't find PID field in ps output")

// PS is what ps prints of a container's processes.
type PS struct {
	Titles []string
	Rows   [][]string
}

// CheckPS refuses options that would call another column PID.
func CheckPS(args []string) error {
	renamed := regexp.MustCompile(`\s+(\S*)=\s*(PID\S*)`)
	for _, group := range renamed.FindAllStringSubmatch(strings.Join(args, " "), -1) {
		if group[1] != "pid" {
			return fmt.Errorf(`specifying "%s=%s" is not allowed`, group[1], group[2])
		}
	}
	return nil
}

// RunPS runs the ps of dx's own PATH.
func RunPS(ctx context.Context, args []string, tasks []Task) (PS, error) {
	if err := CheckPS(args); err != nil {
		return PS{}, err
	}
	pids := make([]string, len(tasks))
	index := make(map[int]Task, len(tasks))
	for i, t := range tasks {
		pids[i] = strconv.Itoa(t.PID)
		index[t.PID] = t
	}
	args = strings.Split(strings.Join(args, " "), " ")
	out, err := runPS(ctx, append(slices.Clone(args), "-q"+strings.Join(pids, ","))...)
	if err != nil && ctx.Err() == nil && !errors.Is(err, errSlow) {
		out, err = runPS(ctx, args...) // some options cannot be used together with -q
	}
	if err != nil {
		return PS{}, fmt.Errorf("ps: %w", err)
	}
	return parsePS(out, func(pid int) bool {
		t, ok := index[pid]
		if !ok {
			return false
		}
		stat, err := proc.StatOf(pid)
		return err != nil || stat.StartTime == t.start // else its number is another's by now
	})
}

// The bounds of ps: it reads what a process can keep it from reading, and what it prints
// others have chosen.
const (
	psTime    = 10 * time.Second
	psOutput  = 32 << 20
	psPatient = 2 * time.Second
)

var errSlow = fmt.Errorf("it does not end within %v; without options of ps dx shows what can be read", psTime)

func runPS(ctx context.Context, args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, psTime)
	defer cancel()
	out, stderr := &bounded{most: psOutput}, &bounded{most: 4096}
	cmd := exec.CommandContext(ctx, "ps", args...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = psEnvironment(os.Environ()), out, stderr, psPatient
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	var err error
	select {
	case err = <-done:
	case <-time.After(psTime + 2*psPatient): // it waits in the kernel, and no signal ends it
		return nil, errSlow
	}
	switch line, _, _ := bytes.Cut(stderr.Bytes(), []byte("\n")); {
	case ctx.Err() != nil:
		return nil, errSlow
	case err != nil && len(line) > 0:
		return nil, errors.New(string(line))
	}
	return out.Bytes(), err
}

// psEnvironment is what of dx's own ps gets: nothing that changes its columns, as COLUMNS and
// PS_FORMAT do.
func psEnvironment(own []string) []string {
	return slices.DeleteFunc(slices.Clone(own), func(e string) bool {
		name, _, _ := strings.Cut(e, "=")
		return name != "PATH" && name != "LANG" && name != "TZ" && !strings.HasPrefix(name, "LC_")
	})
}

// bounded keeps the beginning of what is written to it.
type bounded struct {
	bytes.Buffer
	most int
}

func (b *bounded) Write(p []byte) (int, error) {
	if len(p) > b.most-b.Len() {
		return 0, fmt.Errorf("more than %d MiB", b.most>>20)
	}
	return b.Buffer.Write(p)
}

// parsePS keeps the lines of processes that are wanted; those of their threads (ps m) follow
// them and have "-" for a PID.
func parsePS(out []byte, wanted func(pid int) bool) (PS, error) {
	lines := strings.Split(string(out), "\n")
	ps := PS{Titles: words(lines[0])}
	at := slices.Index(ps.Titles, "PID")
	if at < 0 {
		return PS{}, ErrNoPID
	}
	shown := false
	for _, line := range lines[1:] {
		f := words(line)
		if len(f) <= at {
			continue
		}
		if f[at] != "-" {
			pid, err := strconv.Atoi(f[at])
			if err != nil {
				return PS{}, fmt.Errorf("Unexpected pid '%s': %w", f[at], err)
			}
			shown = wanted(pid)
		}
		if shown {
			ps.Rows = append(ps.Rows, ps.row(f))
		}
	}
	return ps, nil
}

// row has as many fields as there are titles: the last has all that is left.
func (ps PS) row(f []string) []string {
	last := len(ps.Titles) - 1
	for len(f) <= last {
		f = append(f, "")
	}
	return append(slices.Clone(f[:last]), strings.Join(f[last:], " "))
}

// words splits at blanks of ASCII: others may be a part of a command.
func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return strings.ContainsRune("\t\n\f\r ", r) })
}
