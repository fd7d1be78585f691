// Package seccomp turns the seccomp profile of an OCI configuration into the
// classic BPF program that runc would install for it, in pure Go.
//
// The program is another than runc's, with the same answers: runc asks
// libseccomp, whose program tests one system call after the other, and puts its
// own ENOSYS prologue before it (libcontainer/seccomp/patchbpf). Here the numbers
// of an architecture are cut into ranges with one answer each, and a binary search
// finds the range.
//
//	profile ─parse→ rules ─section→ per architecture: number → answer
//	        ─spans→ ranges ─assemble→ Filter
//
// Loading a filter does not belong here, nor does finding a container's profile.
package seccomp

//go:generate go run gen.go
