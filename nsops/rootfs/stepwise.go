package rootfs

import (
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// maxLinks is the kernel's own limit (include/linux/namei.h, MAXSYMLINKS).
const maxLinks = 40

// openStepwise is open without openat2(2): one component after the other, none of
// them followed by the kernel. A symbolic link is read and its text walked, so that a
// magic link of /proc leads nowhere; ".." goes back to the directory that the way
// came from, so that nothing that is moved meanwhile leads above the root.
func (w *walk) openStepwise(name string, follow bool) (int, error) {
	way := []int{w.root} // the directories from the root on
	todo := components(name)
	for links := 0; len(todo) > 0; {
		part := todo[0]
		todo = todo[1:]
		if part == ".." {
			way = way[:max(1, len(way)-1)]
			continue
		}
		fd, st, err := w.step(way[len(way)-1], part)
		if err != nil {
			return 0, err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFLNK || len(todo) == 0 && !follow {
			way = append(way, fd)
			continue
		}
		if links++; links > maxLinks {
			return 0, unix.ELOOP
		}
		to, err := w.readlink(fd)
		if err != nil {
			return 0, err
		}
		if path.IsAbs(to) {
			way = way[:1]
		}
		todo = append(components(to), todo...)
	}
	return way[len(way)-1], nil
}

func components(name string) (list []string) {
	for part := range strings.SplitSeq(name, "/") {
		if part != "" && part != "." {
			list = append(list, part)
		}
	}
	return list
}

func (w *walk) step(dir int, name string) (int, unix.Stat_t, error) {
	if err := w.path(name); err != nil {
		return 0, unix.Stat_t{}, err
	}
	got, err := w.call.Syscall(unix.SYS_OPENAT, uint64(dir), w.call.Address(atPath), unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return 0, unix.Stat_t{}, err
	}
	fd := w.own(got)
	st, err := w.stat(fd)
	return fd, st, err
}

// readlink reads the link that an O_PATH descriptor means (readlinkat(2), "").
func (w *walk) readlink(fd int) (string, error) {
	if err := w.path(""); err != nil {
		return "", err
	}
	n, err := w.call.Syscall(unix.SYS_READLINKAT, uint64(fd), w.call.Address(atPath), w.call.Address(atData), unix.PathMax)
	return string(w.call.Room()[atData : atData+int(n)]), err
}
