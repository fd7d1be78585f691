package launch

import (
	"errors"
	"fmt"

	"github.com/moby/sys/capability"
	"golang.org/x/sys/unix"
)

// Kernel is what a plan has to know of the kernel on which it will run.
type Kernel struct {
	LastCap    int  // /proc/sys/kernel/cap_last_cap
	Faccessat2 bool // Linux 5.8
}

// ThisKernel asks the running kernel.
func ThisKernel() (Kernel, error) {
	last, err := capability.LastCap()
	if err != nil {
		return Kernel{}, fmt.Errorf("find the kernel's last capability: %w", err)
	}
	_, _, errno := unix.Syscall6(unix.SYS_FACCESSAT2, ^uintptr(0), 0, 0, 0, 0, 0) // EFAULT where it is known
	return Kernel{LastCap: int(last), Faccessat2: !errors.Is(errno, unix.ENOSYS) && !errors.Is(errno, unix.EPERM)}, nil
}
