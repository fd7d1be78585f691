package tools

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/cyphar/filepath-securejoin/pathrs-lite"
	"golang.org/x/sys/unix"
)

// HasProc says whether a procfs is mounted at /proc below root.
func HasProc(root *os.File) (bool, error) {
	dir, err := pathrs.OpenatInRoot(root, "proc")
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("open %s/proc: %w", root.Name(), err)
	}
	defer dir.Close()
	var st unix.Statfs_t
	if err := unix.Fstatfs(int(dir.Fd()), &st); err != nil {
		return false, fmt.Errorf("statfs of %s/proc: %w", root.Name(), err)
	}
	return st.Type == unix.PROC_SUPER_MAGIC, nil
}
