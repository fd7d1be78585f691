//go:build amd64

package main

import (
	"fmt"
	"io"
	"math"
	"slices"

	"golang.org/x/sys/unix"
)

const (
	perABI = 600     // Linux 7 has fewer than 480 numbers, x32 ends at 547
	x32Bit = 1 << 30 // __X32_SYSCALL_BIT
)

// abi is a way to call the kernel.
type abi struct {
	name   string
	compat uint64 // 1: int 0x80
	base   uint64
}

func (a abi) String() string { return a.name }

var (
	native = abi{"x86_64", 0, 0}
	x32    = abi{"x32", 0, x32Bit}
	i386   = abi{"i386", 1, 0}
)

// arguments of a call; those not given are 0.
type arguments [6]uint64

// none is -1: no descriptor, no address, no process, no id to change to, no
// signal, and every flag at once, which is one too many for any call.
const none = math.MaxUint64

var never = arguments{none, none, none, none, none, none}

// quiet are the calls for which -1 would leave something behind in the container:
// they ask for a queue and a segment of a key that nobody has. As 32 bits -1 is an address
// that brk can reach, if nothing happens to lie below: where it is, the calls that follow find
// memory at their -1.
var quiet = map[abi]map[uint64]arguments{
	native: {unix.SYS_MSGGET: {none}, unix.SYS_SHMGET: {none}},
	x32:    {unix.SYS_MSGGET: {none}, unix.SYS_SHMGET: {none}},
	i386:   {399: {none}, 395: {none}, 45: {}},
}

// skipped are not tried: sync(2) takes as long as the disks do, and no argument
// makes it fail.
var skipped = map[abi]uint64{native: unix.SYS_SYNC, x32: unix.SYS_SYNC, i386: 36}

// withArguments are calls that profiles decide by their arguments, the engine's
// own and that of the tests.
var withArguments = []struct {
	abi
	nr   uint64
	args []arguments
}{
	{native, unix.SYS_PERSONALITY, []arguments{{0}, {8}, {0x20000}, {0x20008}, {0xffffffff}, {0x40000}}},
	{i386, 136, []arguments{{0}, {0x40000}}},
	{native, unix.SYS_SOCKET, []arguments{{unix.AF_INET, 1}, {unix.AF_VSOCK, 1}, {unix.AF_ALG, 5}, {unix.AF_NETLINK, 3}, {unix.AF_PACKET, 3}}},
	{i386, 359, []arguments{{unix.AF_VSOCK, 1}}},
	{i386, 102, []arguments{{1, none}}}, // socketcall
	{i386, 117, []arguments{{2, none}}}, // ipc
	{native, unix.SYS_UNSHARE, []arguments{{unix.CLONE_FS}, {unix.CLONE_NEWUTS}, {unix.CLONE_NEWUSER}}},
	{native, unix.SYS_CLONE, []arguments{{17}, {unix.CLONE_NEWUTS | 17}, {unix.CLONE_NEWUSER | 17}}},
	{native, unix.SYS_CLONE3, []arguments{{}}},
	{native, unix.SYS_KEYCTL, []arguments{{0, 0xfffffffd}}},
	{native, unix.SYS_UMASK, []arguments{{0o22}, {0o77}}},
	{native, unix.SYS_SCHED_GET_PRIORITY_MAX, []arguments{{0}, {1}, {2}, {1<<32 | 1}}},
	{x32, unix.SYS_SCHED_GET_PRIORITY_MAX, []arguments{{1}, {1<<32 | 1}}},
	{i386, 159, []arguments{{1}}},
	// Numbers that no kernel has.
	{native, 1 << 20, []arguments{{}}}, {x32, 1 << 20, []arguments{{}}}, {native, math.MaxUint32, []arguments{{}}},
}

// printCalls prints the answer to every call, a line each.
func printCalls(out io.Writer) error {
	abis, err := abisOfKernel()
	if err != nil {
		return err
	}
	list := attempts(abis)
	if err := try(list); err != nil {
		return err
	}
	fmt.Fprintf(out, "ABIs: %v\n", abis)
	for _, a := range list {
		fmt.Fprintf(out, "%s: %s\n", a.name, a.answer)
	}
	return nil
}

// abisOfKernel leaves i386 out where the kernel has no int 0x80: no filter sees
// such a call, which ends in a fault, 600 times.
func abisOfKernel() ([]abi, error) {
	const getpid = 20
	list := []attempt{{call: call{compat: i386.compat, nr: getpid}}}
	if err := try(list); err != nil {
		return nil, err
	}
	if list[0].answer == unix.SignalName(unix.SIGSEGV) {
		return []abi{native, x32}, nil
	}
	return []abi{native, x32, i386}, nil
}

func attempts(abis []abi) []attempt {
	var list []attempt
	for _, a := range abis {
		for nr := range uint64(perABI) {
			if nr == skipped[a] {
				continue
			}
			args, ok := quiet[a][nr]
			if !ok {
				args = never
			}
			list = append(list, attempt{
				name: fmt.Sprintf("%s %d", a.name, nr),
				call: call{compat: a.compat, nr: a.base + nr, args: args},
			})
		}
	}
	for _, w := range withArguments {
		if !slices.Contains(abis, w.abi) {
			continue
		}
		for _, args := range w.args {
			list = append(list, attempt{
				name: fmt.Sprintf("%s %d %#x", w.name, w.nr, args),
				call: call{compat: w.compat, nr: w.base + w.nr, args: args},
			})
		}
	}
	return list
}
