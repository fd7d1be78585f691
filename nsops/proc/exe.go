package proc

import (
	"strings"

	"golang.org/x/sys/unix"
)

// Executable is the file that a process runs, as the file system has it now.
type Executable struct {
	Path string // as the reader's root names it; of no use for opening
	UID  uint32
	Mode uint32 // as stat(2) has it
}

// Executable tells of the file behind /proc/PID/exe, also where it has been removed or
// replaced. The file system is not asked anew (statx(2), AT_STATX_DONT_SYNC): one that
// does not answer must not keep the caller.
func (p *Process) Executable() (Executable, error) {
	text, err := p.Readlink("exe")
	if err != nil {
		return Executable{}, err
	}
	var st unix.Statx_t
	const flags = unix.AT_STATX_DONT_SYNC | unix.AT_NO_AUTOMOUNT
	if err := unix.Statx(p.dir, "exe", flags, unix.STATX_UID|unix.STATX_MODE|unix.STATX_TYPE, &st); err != nil {
		return Executable{}, p.wrap("stat", "exe", err)
	}
	return Executable{Path: strings.TrimSuffix(text, " (deleted)"), UID: st.Uid, Mode: uint32(st.Mode)}, nil
}
