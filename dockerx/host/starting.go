package host

import (
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// Starting reports whether a container's init is still its runtime, which waits to be told
// to start the container's program: it has been created, and does not run. Runtimes wait
// for that at a FIFO, which they remove then (libcontainer, runType: "exec.fifo exists:
// created"; crun has it by the same name). The FIFO is looked for only where the process is
// called like a runtime.
func (f *Found) Starting(p *proc.Process) bool {
	if !isRuntime(p) || f.shim == nil && f.record == nil || f.record != nil && f.record.state == "" {
		return false
	}
	if f.shim == nil { // nobody keeps it
		dir, err := openOwned(f.record.state)
		if err != nil {
			return true
		}
		defer dir.close()
		return unix.Faccessat(dir.fd, "exec.fifo", unix.F_OK, 0) == nil
	}
	b := f.bundle()
	if f.record != nil && f.record.place != "" {
		files := &userFiles{keeper: f.shim.Process}
		defer files.close()
		return files.has(f.record.state + "/exec.fifo")
	}
	name, err := b.StatePath()
	if err != nil {
		return true
	}
	dir, err := b.inRoot(name)
	b.closeRoot()
	if err != nil {
		return true // removed, or not made yet
	}
	defer dir.close()
	return unix.Faccessat(dir.fd, "exec.fifo", unix.F_OK, 0) == nil
}

// isRuntime goes by the name: "runc:[2:INIT]", "crun". Any process can call itself so.
func isRuntime(p *proc.Process) bool {
	name, _, _ := strings.Cut(p.Comm, ":")
	return slices.Contains([]string{"runc", "crun", "youki"}, name)
}
