package launch

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// leaveNoCore is for a command with more rights than the container that sees it has.
// Whoever has the same ids may raise its limit of core files up to the hard one
// (prlimit(2)) and end it by a signal; its memory would then lie in its working
// directory, and that may be the container's. A limit of 1, unlike 0, holds for the
// programs of core_pattern as well (fs/coredump.c). EPERM: the hard limit is 0 already.
func (c *compiler) leaveNoCore() {
	if !c.plan.Seen {
		return
	}
	limit := binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(nil, 1), 1)
	c.try("leave no core file", "the container sees the command", "prlimit64", unix.SYS_PRLIMIT64, []unix.Errno{unix.EPERM},
		num(0), named(unix.RLIMIT_CORE, "RLIMIT_CORE"), raw(limit, "{1, 1}"), num(0))
}
