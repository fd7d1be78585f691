// Package fdtable has the kernel make room for descriptors before Go's runtime begins: a list
// of containers holds three for each. By itself the kernel makes a process's table larger when
// it is full, and if the process has threads all of them wait then for an RCU grace period, some
// 10 ms (expand_fdtable, fs/file.c): a list of 100 stood still for a fifth of its time. As long as
// there is one thread nobody waits.
//
// Go's runtime starts a thread before it initialises any package. So the linker is told that the
// program begins at _dx_start (cmd/dx/packaging/ldflags), which goes on to where Go's begin.
// Without that, as by a bare go build, lists take longer, and nothing else is different
// (docs/decisions/027).
package fdtable
