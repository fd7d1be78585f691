package rootfs

import (
	"golang.org/x/sys/unix"
)

// MaxNames bounds what ReadDir returns.
const MaxNames = 8192

// ReadDir returns the names in a directory, in no order, MaxNames at the most.
func (r *Root) ReadDir(path string) ([]string, error) {
	var names []string
	err := r.do("list", path, func(w *walk) error {
		fd, err := w.open(path, true)
		if err != nil {
			return err
		}
		st, err := w.stat(fd)
		if err != nil {
			return err
		}
		if st.Mode&unix.S_IFMT != unix.S_IFDIR {
			return unix.ENOTDIR
		}
		if fd, err = w.reopen(fd); err != nil {
			return err
		}
		names, err = w.names(fd)
		return err
	})
	return names, err
}

// names reads a directory to its end. A file system of a container's may be endless.
func (w *walk) names(fd int) ([]string, error) {
	var names []string
	for len(names) < MaxNames {
		n, err := w.call.Syscall(unix.SYS_GETDENTS64, uint64(fd), w.call.Address(atData), dataSize)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return names, nil
		}
		_, _, names = unix.ParseDirent(w.call.Room()[atData:atData+int(n)], MaxNames-len(names), names)
	}
	return names, nil
}
