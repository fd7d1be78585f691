package census

import (
	"bytes"
	"strconv"

	"golang.org/x/sys/unix"

	"dx/nsops"
)

// threads notes the namespaces that single threads of a process are in, and what these keep
// that the process does not: by mounts, and by files where a thread has its own (unshare(2),
// CLONE_FILES). Any thread may be elsewhere but for its user and PID namespace. false if not
// all were looked at.
func (c *Census) threads(dir int, p Process) bool {
	return c.entries(dir, "task", func(_ int, name string) bool {
		tid, err := strconv.Atoi(name)
		return err != nil || tid == p.PID || c.thread(dir, tid, p)
	})
}

func (c *Census) thread(dir, tid int, p Process) bool {
	at := "task/" + strconv.Itoa(tid) + "/"
	by := Hold{PID: p.PID, Comm: p.Comm, TID: tid}
	newMounts := false
	for i, t := range nsops.Types {
		var st unix.Stat_t
		if unix.Fstatat(dir, at+"ns/"+string(t), &st, 0) != nil {
			continue // it has ended, or the kernel has no such namespaces
		}
		id := nsops.IDOf(&st)
		if id == p.Places[i] {
			continue
		}
		known := c.Namespaces[id] != nil
		ns := c.namespace(id, t)
		if ns == nil {
			continue
		}
		ns.hold(by)
		if t == nsops.Mnt && !known {
			newMounts, by.MountNS = true, id
		}
	}
	whole := true
	if newMounts {
		whole = c.mounts(dir, at, by)
	}
	if ownFiles(p.PID, tid) {
		whole = c.openFiles(dir, at, p) && whole
	}
	return whole
}

// ownFiles reports whether a thread has another table of files than its process. Where the
// kernel does not tell (CONFIG_KCMP), it has not: only who asks for one has it.
func ownFiles(pid, tid int) bool {
	const kcmpFiles = 2 // KCMP_FILES of include/uapi/linux/kcmp.h
	differ, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(pid), uintptr(tid), kcmpFiles, 0, 0, 0)
	return errno == 0 && differ != 0
}

// leaderless looks at the threads of a process whose first thread has ended.
func (c *Census) leaderless(dir, pid int) {
	p := Process{PID: pid}
	var b [64]byte
	if n, err := readFile(dir, "comm", b[:]); err == nil {
		p.Comm = string(bytes.TrimSpace(b[:n]))
	}
	if !c.threads(dir, p) {
		c.Partial++
	}
}
