package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"dx/nsops"
	"dx/nsops/launch"
	"dx/nsops/mounts"
	"dx/nsops/proc"
)

// ErrNoServer says that a mount is none of those that hang: nobody outside of the
// kernel serves it, and it may be there to cover something.
var ErrNoServer = errors.New("its file system has no server that could be dead")

// Unmount takes a mount whose server is dead away from a process's mount namespace
// (umount2(2), MNT_DETACH), without a program of that namespace's and without asking the
// file system. It returns what kind of file system that was.
func Unmount(ctx context.Context, p *proc.Process, path string) (fsType string, err error) {
	infos, cut, err := mounts.Read(p)
	if err == nil && cut {
		err = fmt.Errorf("pid %d has too many mounts to tell which is on top at %s", p.PID, path)
	}
	if err != nil {
		return "", err
	}
	m := mounts.At(infos, path)
	if m == nil {
		return "", fmt.Errorf("no mount is at %s there", path)
	}
	if _, served := mayHang(m.FSType); !served {
		return "", fmt.Errorf("the %s mount at %s stays: %w", m.FSType, path, ErrNoServer)
	}
	kinds := []nsops.Type{nsops.Mnt}
	if os.Geteuid() != 0 { // whose rights over the mounts are those of a user namespace
		kinds = append(kinds, nsops.User)
	}
	target, err := launch.OpenTarget(p, nil, kinds)
	if err != nil {
		return "", err
	}
	defer target.Close()
	err = launch.Unmount(ctx, target, path, m.ID)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%s was not unmounted in time: a file system on the way there does not answer (unmount that one first), or the machine is busy (wait longer: --timeout 1m)", path)
	}
	return m.FSType, err
}

// connections is where the kernel lists the connections to FUSE servers (fusectl).
const connections = "/sys/fs/fuse/connections/"

// abort is the kernel's switch that ends the connection of a FUSE mount; empty: there
// is none to be seen. The connection bears the number of the device (fs/fuse/control.c).
func abort(m *mounts.Info) string {
	if m.Major != 0 || m.FSType != "fuse" && !strings.HasPrefix(m.FSType, "fuse.") {
		return ""
	}
	file := connections + strconv.Itoa(m.Minor) + "/abort"
	if _, err := os.Stat(file); err != nil {
		return ""
	}
	return file
}
