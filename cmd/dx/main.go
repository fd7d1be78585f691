// Command dx inspects and enters any container on a host, also when dockerd no longer
// answers. Each verb has a file here that parses flags, calls the
// libraries and renders; mechanisms live in dockerx, nsops and cmpdiff.
package main

import "os"

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}
