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
	fd, err := unix.Openat(dir, "stat", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return proc.Stat{}, err
	}
	defer unix.Close(fd)
	b := make([]byte, 4096)
	n, err := unix.Read(fd, b)
	if err != nil {
		return proc.Stat{}, err
	}
	return proc.ParseStat(b[:n])
}
