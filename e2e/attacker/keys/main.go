// Command keys prints the key of a name that its session keyring leads to, as a
// program of a container's would look for keys of the host.
//
//	keys NAME
package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "keys:", err)
		os.Exit(1)
	}
}

func run(name string) error {
	id, err := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", name, 0)
	if err != nil {
		return fmt.Errorf("search for %s: %w", name, err)
	}
	b := make([]byte, 1024)
	n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, id, b, 0)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	_, err = os.Stdout.Write(b[:min(n, len(b))])
	return err
}
