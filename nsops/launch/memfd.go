package launch

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// ErrNoExecutableFile says that no place was found from which a program may be
// executed.
var ErrNoExecutableFile = errors.New("no executable file can be made: vm.memfd_noexec forbids memfds, " +
	"and /run, /dev/shm, /tmp are mounted noexec or are not writable; set sysctl vm.memfd_noexec=0")

// executable holds an image ready to be executed: a sealed memfd, or where
// vm.memfd_noexec refuses that, an unlinked file reopened read-only.
func executable(img image) (*os.File, error) {
	f, err := sealedMemfd(img)
	if err == nil {
		return f, nil
	}
	if !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.ENOSYS) {
		return nil, err
	}
	for _, dir := range []string{"/run", "/dev/shm", "/tmp"} {
		if f, err := unlinkedFile(dir, img); err == nil {
			return f, nil
		}
	}
	return nil, ErrNoExecutableFile
}

func memfd(name string, flags int) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC|flags)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	return os.NewFile(uintptr(fd), "memfd:"+name), nil
}

func sealedMemfd(img image) (*os.File, error) {
	f, err := memfd("dx", unix.MFD_ALLOW_SEALING|unix.MFD_EXEC)
	if errors.Is(err, unix.EINVAL) { // MFD_EXEC is of Linux 6.3
		f, err = memfd("dx", unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, err
	}
	if err := img.writeTo(f); err != nil {
		f.Close()
		return nil, fmt.Errorf("write the program: %w", err)
	}
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		f.Close()
		return nil, fmt.Errorf("seal the program: %w", err)
	}
	return f, nil
}

// unlinkedFile writes the image to a file without a name. Only the read-only
// descriptor stays, so that nobody can write what runs.
func unlinkedFile(dir string, img image) (*os.File, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil || st.Flags&unix.ST_NOEXEC != 0 {
		return nil, errors.Join(err, unix.EACCES)
	}
	w, err := os.OpenFile(dir, unix.O_TMPFILE|os.O_RDWR, 0o500)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if err := img.writeTo(w); err != nil {
		return nil, err
	}
	return os.Open(fmt.Sprintf("/proc/self/fd/%d", w.Fd()))
}
