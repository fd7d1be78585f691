package launch

import (
	"errors"
	"fmt"
	"math"

	"github.com/moby/sys/capability"
	"golang.org/x/sys/unix"
)

// Kernel is what a plan has to know of the kernel on which it will run.
type Kernel struct {
	LastCap    int  // /proc/sys/kernel/cap_last_cap
	Faccessat2 bool // Linux 5.8
	CloseRange bool // Linux 5.9
}

// ThisKernel asks the running kernel.
func ThisKernel() (Kernel, error) {
	last, err := capability.LastCap()
	if err != nil {
		return Kernel{}, fmt.Errorf("find the kernel's last capability: %w", err)
	}
	_, _, errno := unix.Syscall6(unix.SYS_FACCESSAT2, ^uintptr(0), 0, 0, 0, 0, 0) // EFAULT where it is known
	return Kernel{LastCap: int(last), Faccessat2: known(errno), CloseRange: hasCloseRange()}, nil
}

// hasCloseRange asks for the last descriptor that there could be, which is not open.
func hasCloseRange() bool { return known(unix.CloseRange(math.MaxUint32, math.MaxUint32, 0)) }

// known tells a call that answers from one that is missing: some sandboxes'
// filters say EPERM where the kernel would say ENOSYS.
func known(err error) bool { return !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EPERM) }
