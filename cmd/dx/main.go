// dx uses all processors that it may run on, whatever its cgroup's quota: it is done in
// milliseconds. The Go runtime (1.26) reads that quota once before main anyway, but
// neither keeps its files open nor looks again every second.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command dx inspects and enters any container on a host, also when dockerd no longer
// answers. Each verb has a file here that parses flags, calls the
// libraries and renders; mechanisms live in dockerx, nsops and cmpdiff.
package main

import (
	"os"

	_ "dx/cmd/dx/fdtable"
	_ "dx/cmd/dx/sysmon"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
