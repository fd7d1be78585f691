package launch

import (
	"bytes"
	"unsafe"
)

// The memory of a running program. loop_*.s has these numbers as literals;
// TestLoopLayout holds the two together.
const (
	codeBase   = 0x00400000 // ELF header and the loop: read, execute
	dataBase   = 0x10000000 // header, steps, strings: read, write, private
	statusBase = 0x20000000 // the report page, shared with dx

	headerSize = 0x40 // report pointer, a scratch report, the key at offKey
	scratch    = dataBase + 8
	offKey     = 40 // the last three arguments of a failing step's exit_group
	stepSize   = 128
)

// A step in memory: 64-bit words at these offsets.
const (
	offNr         = 0  // system call number, opSet or opFail
	offArgs       = 8  // six arguments
	offInto       = 56 // where the result is stored; 0: nowhere
	offOnZero     = 64 // the next step after a zero result; 0: the one behind
	offOnPositive = 72 // the same after a positive result
	offOnError    = 80 // the same after the errors below; 0: every error is fatal
	offErrno      = 88 // anyErrno, or the first of two
	offErrno2     = 96
	offExit       = 104 // added to the errno for the exit code after a fatal error
	offErrnoInto  = 112 // where the errno is stored; 0: nowhere
)

// Pseudo system calls that the loop does itself.
const (
	opSet  = ^uint64(0)     // result = first argument
	opFail = ^uint64(0) - 1 // error = first argument

	anyErrno = ^uint64(0)
)

// Offsets within a report: the scratch one, or the status page.
const (
	offReportStep  = 0  // address of the step that failed; 0: none did
	offReportErrno = 8  //
	offReportChild = 16 // PID of the child as P sees it (CLONE_PARENT_SETTID)
)

func loop() //nolint:unused // its bytes are copied: see loopCode
func loopAddr() *byte

// loopEnd follows the loop's last instruction.
var loopEnd = []byte("dx-lend\n")

// loopCode returns the machine code of loop.
func loopCode() []byte {
	const atMost = 1024
	text := unsafe.Slice(loopAddr(), atMost)
	end := bytes.Index(text, loopEnd)
	if end < 0 {
		panic("launch: the end of the loop was not found")
	}
	return text[:end]
}
