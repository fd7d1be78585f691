// The Go runtime need not read dx's own cgroup at the start, to use fewer processors:
// that takes four files, and dx is done in milliseconds.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command dx inspects and enters any container on a host, also when dockerd no longer
// answers. Each verb has a file here that parses flags, calls the
// libraries and renders; mechanisms live in dockerx, nsops and cmpdiff.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
