//go:build amd64

// Command prober runs in a container and prints what a process can only find out
// by asking the kernel, one fact a line, so that two processes can be compared:
//
//	prober calls   the answer to every system call number of every ABI
//	prober self    scheduling, affinity, keyring, prctl(2) and the like
//
// It is static and needs no file of the container's.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"slices"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "prober:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	out := bufio.NewWriter(os.Stdout)
	switch {
	case slices.Equal(args, []string{"calls"}):
		if err := printCalls(out); err != nil {
			return err
		}
	case slices.Equal(args, []string{"self"}):
		printSelf(out)
	default:
		return errors.New("usage: prober calls|self")
	}
	return out.Flush()
}
