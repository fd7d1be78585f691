package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"

	"dx/nsops/callerfile"
	"dx/nsops/launch"
)

// BundleFile is a new file that gets its name once it is whole. Nobody but its owner
// may read it, it replaces nothing, and no link is followed at its name: what lies
// there may be somebody else's, and lead anywhere.
type BundleFile struct {
	*os.File
	dir  *os.File
	name string
	temp string // its name until then; empty: it has none (O_TMPFILE)
}

// CreateBundle makes a file that is going to have that name. It is fs.ErrExist if
// something has it already.
func CreateBundle(name string) (*BundleFile, error) {
	dir, err := findDirectory(filepath.Dir(name))
	if err != nil {
		return nil, err
	}
	b := &BundleFile{dir: dir, name: filepath.Base(name)}
	if err := b.open(); err != nil {
		dir.Close()
		return nil, err
	}
	return b, nil
}

// findDirectory has a deputy look where the name leads to: what is there may never answer,
// nor will a FUSE that answers now when the bundle is written.
func findDirectory(name string) (*os.File, error) {
	var d launch.Deputy
	defer d.Close()
	dir, info, err := callerfile.Find(&d, name, true)
	switch {
	case err != nil:
		return nil, err
	case info.FS.Type == unix.FUSE_SUPER_MAGIC:
		err = errors.New("lies on a FUSE, which may not answer: name a file elsewhere")
	case !info.IsDir():
		err = unix.ENOTDIR
	}
	if err != nil {
		dir.Close()
		return nil, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	return dir, nil
}

func (b *BundleFile) open() error {
	var st unix.Stat_t
	if err := unix.Fstatat(int(b.dir.Fd()), b.name, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil {
		return errReplaces
	}
	err := b.openAs(".", unix.O_TMPFILE)
	if err != nil { // EOPNOTSUPP, EISDIR, EINVAL: this file system has no such files
		err = b.openNamed()
	}
	return err
}

func (b *BundleFile) openNamed() error {
	b.temp = fmt.Sprintf(".%s.%d", b.name, os.Getpid())
	return b.openAs(b.temp, unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW)
}

func (b *BundleFile) openAs(name string, flags int) error {
	fd, err := unix.Openat(int(b.dir.Fd()), name, unix.O_WRONLY|unix.O_CLOEXEC|flags, 0o600)
	if err != nil {
		return err
	}
	b.File = os.NewFile(uintptr(fd), filepath.Join(b.dir.Name(), b.name))
	return nil
}

// errReplaces says that a bundle would replace something.
var errReplaces = fmt.Errorf("%w: dx replaces nothing; name another file, or remove it first", fs.ErrExist)

// Commit gives the file its name, if nothing has got it meanwhile.
func (b *BundleFile) Commit() error {
	dir := int(b.dir.Fd())
	var err error
	if b.temp == "" {
		// AT_EMPTY_PATH would take CAP_DAC_READ_SEARCH (linkat(2)).
		err = unix.Linkat(unix.AT_FDCWD, "/proc/self/fd/"+strconv.Itoa(int(b.Fd())), dir, b.name, unix.AT_SYMLINK_FOLLOW)
	} else if err = unix.Renameat2(dir, b.temp, dir, b.name, unix.RENAME_NOREPLACE); errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		err = unix.Linkat(dir, b.temp, dir, b.name, 0) // NFS; Close removes the other name
	} else if err == nil {
		b.temp = ""
	}
	if errors.Is(err, unix.EEXIST) {
		return errReplaces
	}
	return err
}

// Close releases the file. One that has not been committed is gone.
func (b *BundleFile) Close() error {
	if b.temp != "" {
		_ = unix.Unlinkat(int(b.dir.Fd()), b.temp, 0)
	}
	return errors.Join(b.File.Close(), b.dir.Close())
}
