package tools

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// maxRead bounds how much of an archive is unpacked, also where it holds the same
// file again and again.
const maxRead = 2 * maxBytes

// ErrTooLarge says that an archive unpacks to more than is read.
var ErrTooLarge = fmt.Errorf("the archive is larger than %d MiB", maxRead>>20)

func unpackAny(root *os.Root, r *bufio.Reader) error {
	var from io.Reader = r
	if head, err := r.Peek(2); err == nil && head[0] == 0x1f && head[1] == 0x8b {
		z, err := gzip.NewReader(r)
		if err != nil {
			return err
		}
		defer z.Close()
		from = z
	}
	return unpack(root, from)
}

// unpack writes a tar archive below root. os.Root lets no name and no link of the
// archive lead out of it. Everything belongs to the caller and may be read and
// executed by all; devices and the like are left out, nobody could use them.
func unpack(root *os.Root, from io.Reader) error {
	limited := &io.LimitedReader{R: from, N: maxRead}
	archive := tar.NewReader(limited)
	var size int64 // also of what a sparse file does not hold
	for files := 0; ; files++ {
		h, err := archive.Next()
		if err == nil {
			size += h.Size
		}
		switch {
		case limited.N <= 0, size > maxRead:
			return ErrTooLarge
		case errors.Is(err, io.EOF) && files > 0:
			return nil
		case errors.Is(err, io.EOF):
			return errors.New("it is neither a program nor an archive with files")
		case err != nil:
			return fmt.Errorf("read the archive: %w", err)
		}
		if err := unpackEntry(root, h, archive); err != nil {
			if limited.N <= 0 {
				err = ErrTooLarge
			}
			return fmt.Errorf("unpack %q: %w", h.Name, err)
		}
	}
}

func unpackEntry(root *os.Root, h *tar.Header, content io.Reader) error {
	name := path.Clean(strings.TrimLeft(h.Name, "/"))
	if name == "." {
		return nil
	}
	if len(name) >= unix.PathMax {
		return unix.ENAMETOOLONG
	}
	if err := makeDir(root, path.Dir(name)); err != nil {
		return err
	}
	switch h.Typeflag {
	case tar.TypeDir:
		return makeDir(root, name)
	case tar.TypeReg:
		return replace(root, name, func() error { return write(root, name, content, fileMode(h)) })
	case tar.TypeSymlink:
		return replace(root, name, func() error { return root.Symlink(h.Linkname, name) })
	case tar.TypeLink:
		return replace(root, name, func() error { return root.Link(path.Clean(strings.TrimLeft(h.Linkname, "/")), name) })
	}
	return nil
}

// replace makes an entry anew: never through what an earlier one has put there.
func replace(root *os.Root, name string, create func() error) error {
	if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return create()
}

func fileMode(h *tar.Header) fs.FileMode {
	if h.Mode&0o111 != 0 {
		return 0o755
	}
	return 0o644
}

// makeDir makes a directory and those above it, open to all whatever the umask is.
func makeDir(root *os.Root, name string) error {
	if name == "." {
		return nil
	}
	if st, err := root.Stat(name); err == nil && st.IsDir() {
		return nil
	}
	if err := makeDir(root, path.Dir(name)); err != nil {
		return err
	}
	if err := root.Mkdir(name, 0o755); err != nil {
		return err
	}
	return root.Chmod(name, 0o755)
}
