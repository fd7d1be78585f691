package launch

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// ErrSilent says that a system call has not returned in time: it asked a file system
// that does not answer.
var ErrSilent = errors.New("its file system does not answer")

// Patience is how long a deputy's call may take. A disk that has to spin up answers
// within it.
const Patience = 2 * time.Second

// Deputy makes system calls in dx's stead, in a process of its own. A request to a
// FUSE server that is never answered cannot be interrupted, not even by SIGKILL
// (kernel fs/fuse/dev.c, request_wait_answer): the process that makes it may stay for
// ever, and that must not be dx.
//
// The process is a program of a few steps that reads the next call from a socket into
// itself, makes it, and sends back what came of it. It is started when first needed.
// One that has not answered in time is killed and left to the kernel; the next call
// starts another, with none of the descriptors that the first had. The zero Deputy is
// ready for use. Its methods may be called by several goroutines; Do is for several
// calls that belong together.
type Deputy struct {
	// Patience is how long the calls of a Do may take together; 0: launch.Patience.
	Patience time.Duration

	// Realm is a user namespace whose root the process is, and nothing else: it has the
	// rights of whoever made that, and no others. It stays the caller's; nil: the process
	// has the rights of dx.
	Realm *os.File

	mu      sync.Mutex
	process *deputyProcess // nil: none runs
}

// Memory that the deputy shares with dx.
const (
	deputyResult = statusBase      // of the last call, then its errno: 16 bytes
	deputyRoom   = statusBase + 64 // for what calls read and write
	deputySize   = 256 << 10

	// RoomSize is how much Room has.
	RoomSize = deputySize - 64
)

// deputyProcess is a running deputy.
type deputyProcess struct {
	pid     int
	socket  int
	shared  []byte
	pending int // answers that nobody waits for
}

// Call is what Do hands to its function: one deputy for several calls.
type Call struct {
	p        *deputyProcess
	patience time.Duration
	deadline time.Time
}

// Do makes calls that follow from each other. All of them together have its Patience;
// ErrSilent when it is over.
func (d *Deputy) Do(f func(*Call) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.process == nil {
		p, err := startDeputy()
		if err == nil && d.Realm != nil {
			if err = p.enter(d.Realm); err != nil {
				p.abandon()
			}
		}
		if err != nil {
			return fmt.Errorf("start a process that asks file systems: %w", err)
		}
		d.process = p
	}
	patience := d.Patience
	if patience == 0 {
		patience = Patience
	}
	err := f(&Call{p: d.process, patience: patience, deadline: time.Now().Add(patience)})
	if errors.Is(err, ErrSilent) || errors.Is(err, errDeputyGone) {
		d.process.abandon()
		d.process = nil
	}
	return err
}

// Close ends the process. The Deputy may be used again.
func (d *Deputy) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.process != nil {
		d.process.release()
		d.process = nil
	}
	return nil
}

func startDeputy() (*deputyProcess, error) {
	shared, err := memfd("dx-shared", 0)
	if err != nil {
		return nil, err
	}
	defer shared.Close()
	if err := shared.Truncate(deputySize); err != nil {
		return nil, err
	}
	exe, err := executable((&Program{Steps: deputySteps()}).image())
	if err != nil {
		return nil, err
	}
	defer exe.Close()
	sockets, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	defer unix.Close(sockets[1])
	p := &deputyProcess{socket: sockets[0]}
	if err := p.start(sockets[1], shared, exe); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

func (p *deputyProcess) start(socket int, shared, exe *os.File) (err error) {
	if p.shared, err = unix.Mmap(int(shared.Fd()), 0, deputySize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED); err != nil {
		return err
	}
	if !hasCloseRange() {
		if err := shedInherited(); err != nil {
			return err
		}
	}
	// Its streams, which it does not use, are the socket as well: /dev/null would have
	// to be opened, and a file that is opened must not get one of their numbers.
	own := uintptr(socket)
	files := []uintptr{own, own, own, own, shared.Fd(), exe.Fd()}
	p.pid, err = syscall.ForkExec("/proc/self/fd/5", []string{"dx"}, &syscall.ProcAttr{Dir: "/", Env: []string{}, Files: files})
	return err
}

// callSize is what dx sends: the number of a call and its six arguments. Back come a
// result and an errno.
const (
	callSize   = offInto
	answerSize = 16
)

func deputySteps() []*Step {
	c := &compiler{plan: &Plan{}}
	socket := num(firstFile)
	c.hide("become undumpable")
	// A signal for the terminal's foreground is dx's to take. A session of its own would
	// be a scheduling group of its own (sched(7), autogroup), a millisecond on a busy
	// machine.
	c.call("leave the caller's process group", "", "setpgid", unix.SYS_SETPGID, num(0), num(0))
	c.call("share memory with dx", "", "mmap", unix.SYS_MMAP,
		num(statusBase), num(deputySize), num(unix.PROT_READ|unix.PROT_WRITE), num(unix.MAP_SHARED|unix.MAP_FIXED), num(firstFile+1), num(0))
	c.call("close its file", "", "close", unix.SYS_CLOSE, num(firstFile+1))
	c.call("close the program's file", "", "close", unix.SYS_CLOSE, num(firstFile+2))
	// One that a silent file system keeps would keep open what dx's caller has handed down,
	// such as the pipe at whose end somebody reads.
	c.try("close what dx's caller has left open", "", "close_range", unix.SYS_CLOSE_RANGE, nil,
		num(firstFile+1), named(uint64(math.MaxUint32), "~0U"), num(0))
	call := &Step{Args: make([]Arg, 6)}
	next := c.call("take a call", "", "read", unix.SYS_READ, socket, Arg{at: &slot{step: call, arg: nrSlot}}, num(callSize))
	c.set("no error so far", &slot{addr: deputyResult + 8}, num(0))
	call.into, call.errnoInto, call.onError = &slot{addr: deputyResult}, &slot{addr: deputyResult + 8}, goNext
	c.add(call)
	answer := c.call("say what came of it", "", "write", unix.SYS_WRITE, socket, num(deputyResult), num(answerSize))
	answer.onPositive = next
	end := c.call("end", "", "exit_group", unix.SYS_EXIT_GROUP, num(0))
	next.onZero, next.onError, answer.onError = end, end, end
	return c.steps
}

var errDeputyGone = errors.New("the process that asks file systems has ended")

// Syscall makes one system call and returns its result. Addresses are those of the
// Room: see Address.
func (c *Call) Syscall(nr uintptr, args ...uint64) (uint64, error) {
	if err := c.send(nr, args...); err != nil {
		return 0, err
	}
	return c.answer()
}

// Post makes a system call whose result is of no interest: close(2).
func (c *Call) Post(nr uintptr, args ...uint64) error {
	err := c.send(nr, args...)
	if err == nil {
		c.p.pending++
	}
	return err
}

func (c *Call) send(nr uintptr, args ...uint64) error {
	msg := make([]byte, callSize)
	binary.NativeEndian.PutUint64(msg, uint64(nr))
	for i, a := range args {
		binary.NativeEndian.PutUint64(msg[8+8*i:], a)
	}
	if _, err := unix.Write(c.p.socket, msg); err != nil {
		return errDeputyGone
	}
	return nil
}

// answer waits for the result of the call that was sent.
func (c *Call) answer() (uint64, error) {
	b := make([]byte, answerSize)
	if _, err := c.receive(b, nil); err != nil {
		return 0, err
	}
	if errno := unix.Errno(binary.NativeEndian.Uint64(b[8:])); errno != 0 {
		return 0, errno
	}
	return binary.NativeEndian.Uint64(b), nil
}

// Room is memory that both sides have, for paths, structures and contents.
func (c *Call) Room() []byte { return c.p.shared[deputyRoom-statusBase:] }

// Address is where the deputy has a byte of the Room.
func (c *Call) Address(offset int) uint64 { return deputyRoom + uint64(offset) }

// receive waits for a message, behind the answers that nobody waits for.
func (c *Call) receive(msg, control []byte) (controlSize int, err error) {
	for ; c.p.pending > 0; c.p.pending-- {
		if _, err := c.message(make([]byte, answerSize), nil); err != nil {
			return 0, err
		}
	}
	return c.message(msg, control)
}

func (c *Call) message(msg, control []byte) (controlSize int, err error) {
	if err := c.wait(); err != nil {
		return 0, err
	}
	n, controlSize, _, _, err := unix.Recvmsg(c.p.socket, msg, control, unix.MSG_CMSG_CLOEXEC)
	if err != nil || n != len(msg) {
		return 0, errDeputyGone
	}
	return controlSize, nil
}

// maxStarved is how many times Patience a deputy has that could run and is given no
// processor.
const maxStarved = 10

func (c *Call) wait() error {
	starved := 0
	for {
		left := time.Until(c.deadline)
		// It is asked before the socket is: meanwhile the deputy may answer and wait for more.
		hungry := left <= 0 && c.p.runnable()
		fds := []unix.PollFd{{Fd: int32(c.p.socket), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, max(0, int(left.Milliseconds())))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return fmt.Errorf("poll: %w", err)
		case n > 0:
			return nil
		case left > 0:
		case starved < maxStarved && hungry:
			starved++
			c.deadline = time.Now().Add(c.patience)
		default:
			return ErrSilent
		}
	}
}

func (p *deputyProcess) runnable() bool {
	st, err := proc.StatOf(p.pid)
	return err == nil && st.State == 'R'
}

// Where the Room holds a message with a descriptor, and where what it tells.
const (
	atHeader  = 64
	atVector  = atHeader + 56 // behind struct msghdr
	atControl = atVector + 16
	atFD      = atControl + 16 // behind struct cmsghdr
)

// Give hands the deputy a file and returns its descriptor there.
func (c *Call) Give(f *os.File) (int, error) {
	c.prepareMessage()
	// The call first: the file follows it.
	if err := c.send(unix.SYS_RECVMSG, firstFile, c.Address(atHeader), unix.MSG_CMSG_CLOEXEC); err != nil {
		return 0, err
	}
	if err := unix.Sendmsg(c.p.socket, []byte{0}, unix.UnixRights(int(f.Fd())), nil, 0); err != nil {
		return 0, errDeputyGone
	}
	if _, err := c.answer(); err != nil {
		return 0, err
	}
	return int(int32(binary.NativeEndian.Uint32(c.Room()[atFD:]))), nil
}

// Take returns a file that the deputy has open. Only an O_PATH descriptor may be
// taken, or what lies on a file system of the kernel's: closing any other may ask a
// server.
func (c *Call) Take(fd int, name string) (*os.File, error) {
	c.prepareMessage()
	room := c.Room()
	binary.NativeEndian.PutUint64(room[atControl:], uint64(unix.CmsgLen(4)))
	binary.NativeEndian.PutUint32(room[atControl+8:], unix.SOL_SOCKET)
	binary.NativeEndian.PutUint32(room[atControl+12:], unix.SCM_RIGHTS)
	binary.NativeEndian.PutUint64(room[atFD:], uint64(fd))
	if err := c.send(unix.SYS_SENDMSG, firstFile, c.Address(atHeader), 0); err != nil {
		return nil, err
	}
	rights, body := make([]byte, unix.CmsgSpace(4)), make([]byte, 1)
	n, err := c.receive(body, rights)
	if err != nil {
		return nil, err
	}
	f, err := fileOf(rights[:n], name)
	if err != nil {
		return nil, err
	}
	if _, err := c.answer(); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// prepareMessage writes a struct msghdr for one byte and one descriptor.
func (c *Call) prepareMessage() {
	room := c.Room()
	clear(room[:atControl+unix.CmsgSpace(4)])
	for at, v := range map[int]uint64{
		atHeader + 16: c.Address(atVector), atHeader + 24: 1, // msg_iov, msg_iovlen
		atHeader + 32: c.Address(atControl), atHeader + 40: uint64(unix.CmsgSpace(4)), // msg_control, msg_controllen
		atVector: c.Address(0), atVector + 8: 1, // iov_base, iov_len
	} {
		binary.NativeEndian.PutUint64(room[at:], v)
	}
}

func fileOf(rights []byte, name string) (*os.File, error) {
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return nil, errDeputyGone
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, errDeputyGone
	}
	return os.NewFile(uintptr(fds[0]), name), nil
}

// release ends a process that waits for the next call.
func (p *deputyProcess) release() {
	pid := p.pid
	p.close()
	// It may have a file open whose close(2) asks a server, too.
	go func() { _, _ = reap(pid) }()
}

// abandon kills a process that may be beyond that.
func (p *deputyProcess) abandon() {
	_ = unix.Kill(p.pid, unix.SIGKILL) // not reaped yet: nobody else has the number
	p.release()
}

func (p *deputyProcess) close() {
	unix.Close(p.socket)
	if p.shared != nil {
		_ = unix.Munmap(p.shared)
	}
}

// Descriptor is the name of a descriptor in the deputy's /proc.
func Descriptor(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }
