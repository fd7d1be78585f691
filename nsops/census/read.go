package census

import (
	"errors"

	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/proc"
)

// readOrder has the mount namespace last: a process that ends loses all but its user
// and PID namespaces at once, and every kernel has this kind (kernel/nsproxy.c,
// exit_task_namespaces). If it is still there, the others were not lost but never
// had.
var readOrder = func() (order []int) {
	last := 0
	for i, t := range nsops.Types {
		if t == nsops.Mnt {
			last = i
			continue
		}
		order = append(order, i)
	}
	return append(order, last)
}()

// readProcess reads one process through its directory. ENOENT and ESRCH: it is gone
// or a zombie.
func readProcess(dir, pid int) (Process, error) {
	p := Process{PID: pid}
	for _, i := range readOrder {
		var st unix.Stat_t
		err := unix.Fstatat(dir, "ns/"+string(nsops.Types[i]), &st, 0)
		if errors.Is(err, unix.ENOENT) && nsops.Types[i] != nsops.Mnt {
			continue
		}
		if err != nil {
			return p, err
		}
		p.Places[i] = nsops.IDOf(&st)
	}
	st, err := readStat(dir)
	if err != nil {
		return p, err
	}
	p.PPID, p.StartTime, p.Comm = st.PPID, st.StartTime, st.Comm
	return p, nil
}

func readStat(dir int) (proc.Stat, error) {
	var b [4096]byte
	n, err := readFile(dir, "stat", b[:])
	if err != nil {
		return proc.Stat{}, err
	}
	return proc.ParseStat(b[:n])
}

// maxCgroups has room for a path of PATH_MAX in each of 16 hierarchies.
const maxCgroups = 16 * unix.PathMax

func (c *Census) readCgroups(dir int) (string, error) {
	if c.room == nil {
		c.room = make([]byte, maxCgroups)
	}
	n, err := readFile(dir, "cgroup", c.room)
	if err != nil {
		return "", err
	}
	text, ok := c.cgroups[string(c.room[:n])]
	if !ok {
		text = string(c.room[:n])
		c.cgroups[text] = text
	}
	return text, nil
}

// readFile reads what one read(2) gives, which of these files is all (fs/proc/base.c, ONE).
func readFile(dir int, name string, b []byte) (int, error) {
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd)
	return unix.Read(fd, b)
}
