package tty

import (
	"os"
	"strconv"

	"dx/nsops/proc"
)

// reopen turns an O_PATH descriptor into one for reading or writing. The /proc is
// that of dx; if it were something else, the name in it could mean anything
// (CVE-2025-52881 is of that kind).
func reopen(f *os.File, flags int) (*os.File, error) {
	self, err := proc.Self()
	if err != nil {
		return nil, err
	}
	if err := self.OnProcfs(); err != nil {
		return nil, err
	}
	fd, err := self.OpenFD("fd/"+strconv.Itoa(int(f.Fd())), flags)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}
