package launch

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Step is one system call of a program, or a pseudo call of the loop.
type Step struct {
	Name string // the call's name: "setns"
	Nr   uint64
	Args []Arg

	Doing  string // for errors and --explain: "join the net namespace"
	Origin string // where its values came from; may be empty

	// Stage tells the caller what kind of failure this is.
	Stage Stage

	into       *slot
	onZero     *Step
	onPositive *Step
	onError    *Step
	errnos     []unix.Errno // with onError: only these (two at most); none: all
	errnoInto  *slot
	exit       uint64 // the child's exit code for errno 0 of this step
	spare      bool   // made only if an earlier step says so
	birth      bool   // of the child
	kept       bool   // by a keeper, whose own steps are the first
	child      bool
	own        bool   // dx makes it, and no runtime would under the filter: see admit
	addr       uint64 // set by layout
}

// Stage sorts failures by what docker says of them.
type Stage int

// The stages.
const (
	StageSetup  Stage = iota // dx could not prepare the process
	StageCwd                 // the working directory
	StageLookup              // the command was not found or cannot be executed
	StageExec                // execve itself
)

// Arg is one argument of a step: a number, or bytes that the layout places in
// the program's data.
type Arg struct {
	text   string // as --explain shows it; empty: what it says itself, see String
	value  uint64
	data   []byte   // placed as they are, the argument points to them
	table  []string // placed as a NULL-terminated array of strings
	words  []Arg    // placed as a structure of 64-bit words
	buffer int      // bytes of zeroed space
	share  *Arg     // the same place as another argument
	at     *slot    // the place of a step's own argument, for the kernel to write to
}

// isNumber reports whether the value is known before the layout.
func (a *Arg) isNumber() bool {
	return a.data == nil && a.table == nil && a.words == nil && a.buffer == 0 && a.share == nil && a.at == nil
}

// slot is where a step's result goes: an argument of a later step, its call
// number, or a fixed address.
type slot struct {
	step *Step
	arg  int // nrSlot: the call number
	addr uint64
}

const nrSlot = -1

func (s *slot) address() uint64 {
	switch {
	case s.step == nil:
		return s.addr
	case s.arg == nrSlot:
		return s.step.addr + offNr
	}
	return s.step.addr + offArgs + 8*uint64(s.arg)
}

// num is a number that is not negative.
func num[T ~int | ~uint32 | ~uint64 | ~uintptr](v T) Arg {
	return Arg{value: uint64(v)}
}

// named is a number that --explain shows by its constant's name.
func named[T ~int | ~uint32 | ~uint64 | ~uintptr](v T, name string) Arg {
	return Arg{value: uint64(v), text: name}
}

func str(s string) Arg {
	return Arg{data: append([]byte(s), 0)}
}

func raw(b []byte, text string) Arg { return Arg{data: b, text: text} }

func table(list []string, text string) Arg { return Arg{table: list, text: text} }

func space(n int, text string) Arg { return Arg{buffer: n, text: text} }

// String is the argument as a C programmer would write it.
func (a Arg) String() string {
	switch {
	case a.text != "":
		return a.text
	case a.data != nil: // see str
		return fmt.Sprintf("%q", a.data[:len(a.data)-1])
	}
	return strconv.FormatUint(a.value, 10)
}

// String is the call as a C programmer would write it.
func (s *Step) String() string {
	args := make([]string, len(s.Args))
	for i, a := range s.Args {
		args[i] = a.String()
	}
	return s.Name + "(" + strings.Join(args, ", ") + ")"
}
