package launch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// report is the page that the keeper and P share with dx (docs/decisions/001).
type report struct {
	file *os.File
	page []byte
}

func newReport() (*report, error) {
	f, err := memfd("dx-report", unix.MFD_NOEXEC_SEAL)
	if errors.Is(err, unix.EINVAL) { // Linux 6.3
		f, err = memfd("dx-report", 0)
	}
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(pageSize); err != nil {
		f.Close()
		return nil, fmt.Errorf("make the report page: %w", err)
	}
	page, err := unix.Mmap(int(f.Fd()), 0, pageSize, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("map the report page: %w", err)
	}
	return &report{file: f, page: page}, nil
}

func (r *report) close() {
	_ = unix.Munmap(r.page)
	r.file.Close()
}

func (r *report) failure() (step uint64, errno unix.Errno) {
	return binary.NativeEndian.Uint64(r.page[offReportStep:]), unix.Errno(binary.NativeEndian.Uint64(r.page[offReportErrno:]))
}

func (r *report) child() int   { return r.number(offReportChild) }
func (r *report) program() int { return r.number(offReportProgram) }

// unborn reports whether the child has ended before its execve.
func (r *report) unborn() bool { return r.number(offReportUnborn) != 0 }

// status returns a wait status that the keeper has left.
func (r *report) status(off int) unix.WaitStatus { return unix.WaitStatus(r.number(off)) }

func (r *report) number(off int) int {
	return int(int32(binary.NativeEndian.Uint32(r.page[off:])))
}
