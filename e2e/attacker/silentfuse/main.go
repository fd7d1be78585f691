// Command silentfuse is an attacker: it mounts FUSE file systems, takes every
// request from the kernel and answers only those that it is told to. Whoever waits
// for another one sleeps uninterruptibly, SIGKILL included, until silentfuse ends
// (kernel fs/fuse/dev.c, request_wait_answer).
//
//	silentfuse [-answer lookup,getattr,…] [-enter NAME] [-uid UID] PATH...
package main

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// Requests of the FUSE protocol (include/uapi/linux/fuse.h).
const (
	opLookup  = 1
	opGetattr = 3
	opOpen    = 14
	opRead    = 15
	opStatfs  = 17
	opInit    = 26
	opOpendir = 27
	opAccess  = 34
)

var names = map[string]uint32{"lookup": opLookup, "getattr": opGetattr, "open": opOpen, "read": opRead, "opendir": opOpendir, "statfs": opStatfs}

// inHeader is struct fuse_in_header.
type inHeader struct {
	Len, Opcode    uint32
	Unique, NodeID uint64
	UID, GID, PID  uint32
	X              uint32
}

// attr is struct fuse_attr.
type attr struct {
	Ino, Size, Blocks, Atime, Mtime, Ctime                                   uint64
	AtimeNsec, MtimeNsec, CtimeNsec, Mode, Nlink, UID, GID, Rdev, Blksize, X uint32
}

const fileSize = 100

// server is one file system, whose root is a file if the mount point is one.
type server struct {
	fd     int
	mode   uint32
	answer map[uint32]bool
}

func main() {
	answer := flag.String("answer", "", "the requests to answer, comma separated: lookup, getattr, open, read, opendir, statfs")
	enter := flag.String("enter", "", "go to this directory of the first file system")
	uid := flag.Int("uid", 0, "become this user once all is mounted")
	flag.Parse()
	if err := run(*answer, *enter, *uid, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "silentfuse:", err)
		os.Exit(1)
	}
}

func run(answer, enter string, uid int, paths []string) error {
	wanted := map[uint32]bool{}
	for name := range strings.SplitSeq(answer, ",") {
		wanted[names[name]] = name != ""
	}
	for _, path := range paths {
		s := &server{answer: wanted}
		if err := s.mount(path, uid); err != nil {
			return fmt.Errorf("mount at %s: %w", path, err)
		}
		go s.serve()
	}
	if enter != "" {
		if err := os.Chdir(filepath.Join(paths[0], enter)); err != nil {
			return err
		}
	}
	if uid != 0 {
		if err := unix.Setresgid(uid, uid, uid); err != nil {
			return err
		}
		if err := unix.Setresuid(uid, uid, uid); err != nil {
			return err
		}
	}
	fmt.Println("ready")
	select {}
}

func (s *server) mount(path string, uid int) error {
	st, err := os.Stat(path)
	if err != nil {
		return err
	}
	s.mode = unix.S_IFREG | 0o755
	if st.IsDir() {
		s.mode = unix.S_IFDIR | 0o755
	}
	if s.fd, err = unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
		return err
	}
	return unix.Mount("silentfuse", path, "fuse", 0, fmt.Sprintf("fd=%d,rootmode=%o,user_id=%d,group_id=%d,allow_other", s.fd, s.mode, uid, uid))
}

func (s *server) serve() {
	buf := make([]byte, 1<<20)
	for {
		n, err := unix.Read(s.fd, buf)
		if err == unix.ENODEV { // unmounted
			return
		}
		if err != nil {
			continue
		}
		var in inHeader
		if binary.Read(bytes.NewReader(buf[:n]), binary.LittleEndian, &in) == nil {
			s.take(in)
		}
	}
}

// take answers a request, or does not.
func (s *server) take(in inHeader) {
	switch {
	case in.Opcode == opInit:
		// struct fuse_init_out of protocol 7.31.
		body := make([]byte, 64)
		binary.LittleEndian.PutUint32(body, 7)
		binary.LittleEndian.PutUint32(body[4:], 31)
		binary.LittleEndian.PutUint32(body[20:], 4096)
		s.reply(in, 0, body)
	case in.Opcode == opAccess:
		s.reply(in, unix.ENOSYS, nil) // never asked again
	case !s.answer[in.Opcode]:
	case in.Opcode == opLookup:
		// struct fuse_entry_out: the same directory under every name.
		s.reply(in, 0, encode([]uint64{2, 0, 1 << 20, 0, 0}, attr{Ino: 2, Mode: unix.S_IFDIR | 0o755, Nlink: 2}))
	case in.Opcode == opGetattr:
		mode := s.mode
		if in.NodeID != 1 {
			mode = unix.S_IFDIR | 0o755
		}
		s.reply(in, 0, encode([]uint64{0, 0}, attr{Ino: in.NodeID, Size: fileSize, Mode: mode, Nlink: 1}))
	case in.Opcode == opOpen, in.Opcode == opOpendir:
		s.reply(in, 0, make([]byte, 16))
	case in.Opcode == opRead:
		s.reply(in, 0, make([]byte, fileSize))
	case in.Opcode == opStatfs:
		s.reply(in, 0, make([]byte, 80))
	}
}

func encode(parts ...any) []byte {
	var b bytes.Buffer
	for _, p := range parts {
		if err := binary.Write(&b, binary.LittleEndian, p); err != nil {
			panic(err) // fixed sizes: cannot fail
		}
	}
	return b.Bytes()
}

// reply writes a struct fuse_out_header and what follows it.
func (s *server) reply(in inHeader, errno unix.Errno, body []byte) {
	head := struct {
		Len    uint32
		Error  int32
		Unique uint64
	}{uint32(16 + len(body)), -int32(errno), in.Unique}
	_, _ = unix.Write(s.fd, append(encode(head), body...))
}
