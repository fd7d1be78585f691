package proc

import (
	"errors"
	"io"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxThreads bounds of how many threads the children are read.
const maxThreads = 4096

// Children returns the PIDs of the process's children, by whichever thread. They are
// numbers, which may mean others by the time they are used. Kernels without
// CONFIG_PROC_CHILDREN give none.
func (p *Process) Children() ([]int, error) {
	tasks, err := p.OpenFile("task", unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return nil, err
	}
	defer tasks.Close()
	names, err := tasks.Readdirnames(maxThreads)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, p.wrap("list", "task", err)
	}
	var pids []int
	for _, name := range names {
		b, err := p.ReadFile("task/" + name + "/children")
		if errors.Is(err, unix.ENOENT) || errors.Is(err, ErrGone) {
			continue
		}
		if err != nil {
			return pids, err
		}
		for field := range strings.FieldsSeq(string(b)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids, nil
}
