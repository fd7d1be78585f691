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
// Where libseccomp's program does not do what the profile says, the profile is
// followed here, and the answers differ. This is so (all tried with 2.5.4):
//   - if, on an ABI other than amd64 alone, no call of the profile has a rule without
//     conditions, but a call that the ABI lacks has one: libseccomp then compares
//     numbers with the architecture, and no rule matches;
//   - for several rules for one call in which inequalities meet with other arguments
//     or with values of more than 32 bits, or in which several SCMP_CMP_NE have
//     different actions: its program may compare the wrong half or the wrong
//     argument. One rule a call, rules of the same action with one condition on
//     values of 32 bits, and equalities of any kind are not affected.
//
// libseccomp before 2.6 takes map_shadow_stack(2) for absent from x32.
//
// Installed reads the filters that a process has back from the kernel, where no
// profile is known.
//
// Loading a filter does not belong here, nor does finding a container's profile.
package seccomp

//go:generate go run gen.go
