package seccomp

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// The profiles below let a container's sleep run.

var bothABIs = []specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchX32}

func denying(archs []specs.Arch) *specs.LinuxSeccomp {
	return &specs.LinuxSeccomp{
		DefaultAction: specs.ActErrno,
		Architectures: archs,
		Syscalls: []specs.LinuxSyscall{
			allow(basics()...),
			// runc drops the rule, as it is the default, but counts the call for its prologue.
			{Names: []string{"futex_waitv"}, Action: specs.ActErrno},
		},
	}
}

func allow(names ...string) specs.LinuxSyscall {
	return specs.LinuxSyscall{Names: names, Action: specs.ActAllow}
}

// basics is what a static program needs, runc's own last steps included.
func basics() []string {
	return []string{
		"read", "write", "close", "fstat", "newfstatat", "mmap", "mprotect", "munmap", "brk", "rt_sigaction",
		"rt_sigprocmask", "rt_sigreturn", "execve", "exit", "exit_group", "arch_prctl", "futex", "nanosleep",
		"clock_nanosleep", "openat", "fcntl", "getpid", "gettid", "tgkill", "sigaltstack", "set_tid_address",
		"set_robust_list", "rseq", "prlimit64", "readlink", "getrandom", "prctl", "capget", "capset", "setuid",
		"setgid", "setgroups", "getuid", "getgid", "geteuid", "getegid", "chdir", "getcwd", "stat", "lstat",
		"fstatfs", "statfs", "getdents64", "epoll_ctl", "epoll_pwait", "getppid", "clone", "uname", "ioctl",
		"dup3", "fchown", "faccessat2", "faccessat", "poll", "ppoll", "sched_yield", "lseek",
	}
}

// argumentsProfile has rules of every operator, on both sides of 32 bits, and the
// forms in which conditions combine.
func argumentsProfile() *specs.LinuxSeccomp {
	p := denying(bothABIs)
	add := func(action specs.LinuxSeccompAction, errnoRet uint, name string, args ...specs.LinuxSeccompArg) {
		s := specs.LinuxSyscall{Names: []string{name}, Action: action, Args: args}
		if errnoRet != 0 {
			s.ErrnoRet = &errnoRet
		}
		p.Syscalls = append(p.Syscalls, s)
	}
	arg := func(index uint, op specs.LinuxSeccompOperator, value uint64, two ...uint64) specs.LinuxSeccompArg {
		a := specs.LinuxSeccompArg{Index: index, Op: op, Value: value}
		if len(two) > 0 {
			a.ValueTwo = two[0]
		}
		return a
	}
	const far = 0x1_2345_6789
	add(specs.ActAllow, 0, "personality", arg(0, specs.OpEqualTo, 0))
	add(specs.ActAllow, 0, "personality", arg(0, specs.OpEqualTo, 8))
	add(specs.ActAllow, 0, "personality", arg(0, specs.OpEqualTo, 0xffffffff))
	add(specs.ActAllow, 0, "personality", arg(0, specs.OpEqualTo, far))
	add(specs.ActAllow, 0, "socket", arg(0, specs.OpLessThan, unix.AF_ALG))
	add(specs.ActAllow, 0, "socket", arg(0, specs.OpEqualTo, 39))
	add(specs.ActAllow, 0, "socket", arg(0, specs.OpGreaterThan, unix.AF_VSOCK))
	add(specs.ActErrno, 97, "socketpair", arg(0, specs.OpNotEqual, unix.AF_UNIX), arg(1, specs.OpLessEqual, 5))
	add(specs.ActAllow, 0, "kill", arg(1, specs.OpLessEqual, far))
	add(specs.ActAllow, 0, "madvise", arg(1, specs.OpGreaterEqual, far), arg(2, specs.OpNotEqual, 9))
	add(specs.ActAllow, 0, "mremap", arg(1, specs.OpLessThan, far), arg(3, specs.OpMaskedEqual, 0xff, 0x1ff))
	add(specs.ActAllow, 0, "pread64", arg(2, specs.OpGreaterThan, far), arg(3, specs.OpEqualTo, far))
	add(specs.ActAllow, 0, "pwrite64", arg(3, specs.OpMaskedEqual, 0xff00000000, 0x100000000))
	add(specs.ActAllow, 0, "unshare", arg(0, specs.OpMaskedEqual, 0x7e020000, 0))
	add(specs.ActTrap, 0, "setns", arg(1, specs.OpNotEqual, far))
	add(specs.ActAllow, 0, "mount", arg(3, specs.OpEqualTo, 1), arg(3, specs.OpEqualTo, 2), arg(0, specs.OpEqualTo, 3))
	add(specs.ActAllow, 0, "semop", arg(2, specs.OpLessThan, 10))
	add(specs.ActErrno, 0, "shmget", arg(1, specs.OpEqualTo, 7))
	add(specs.ActErrno, 61, "msgget", arg(1, specs.OpEqualTo, 7))
	add(specs.ActAllow, 0, "accept", arg(2, specs.OpEqualTo, 0))
	add(specs.ActLog, 0, "chroot", arg(0, specs.OpEqualTo, 5))
	add(specs.ActErrno, 11, "chroot", arg(0, specs.OpGreaterEqual, 3))
	add(specs.ActTrap, 0, "chroot", arg(1, specs.OpEqualTo, 1))
	add(specs.ActErrno, 11, "syslog", arg(0, specs.OpGreaterEqual, 5))
	add(specs.ActErrno, 12, "syslog", arg(0, specs.OpGreaterEqual, 10))
	add(specs.ActErrno, 13, "syslog", arg(0, specs.OpLessThan, 4))
	add(specs.ActErrno, 14, "syslog", arg(0, specs.OpLessThan, 3))
	add(specs.ActErrno, 15, "syslog", arg(0, specs.OpMaskedEqual, 1, 1))
	add(specs.ActErrno, 38, "pivot_root", arg(0, specs.OpMaskedEqual, 0, 5))
	add(specs.ActErrno, 12, "sethostname", arg(0, specs.OpEqualTo, 5))
	add(specs.ActErrno, 13, "sethostname")
	add(specs.ActErrno, 14, "sethostname")
	add(specs.ActErrno, 38, "clone3")
	add(specs.ActAllow, 0, "no_such_call")
	for request := uint64(0x5401); request < 0x5401+300; request++ {
		add(specs.ActAllow, 0, "fchmod", arg(1, specs.OpEqualTo, request))
	}
	return p
}

// blocklistProfile lets calls through unless it names them, with every action.
func blocklistProfile() *specs.LinuxSeccomp {
	nosys := uint(unix.ENOSYS)
	seven := uint(7)
	rule := func(action specs.LinuxSeccompAction, errnoRet *uint, names ...string) specs.LinuxSyscall {
		return specs.LinuxSyscall{Names: names, Action: action, ErrnoRet: errnoRet}
	}
	return &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Architectures: bothABIs,
		Syscalls: []specs.LinuxSyscall{
			rule(specs.ActErrno, nil, "chmod", "fchmod", "acct"),
			rule(specs.ActErrno, &nosys, "bpf", "socketcall"),
			rule(specs.ActTrace, &seven, "swapon"),
			rule(specs.ActTrace, nil, "swapoff"),
			rule(specs.ActTrap, &seven, "reboot"),
			rule(specs.ActKill, nil, "syslog"),
			rule(specs.ActKillThread, nil, "vhangup"),
			rule(specs.ActKillProcess, nil, "quotactl"),
			rule(specs.ActLog, nil, "getpriority"),
			rule(specs.ActAllow, nil, "chmod"),
		},
	}
}

// namesProfile gives each call of the table an answer of its own, so that a wrong
// number shows. map_shadow_stack(2) is left out: libseccomp 2.5 took it for absent
// from x32. So are the multiplexers, for their calls to show.
func namesProfile() *specs.LinuxSeccomp {
	p := &specs.LinuxSeccomp{DefaultAction: specs.ActKillProcess, Architectures: bothABIs}
	needed := map[string]bool{"map_shadow_stack": true, "socketcall": true, "ipc": true}
	for _, name := range basics() {
		needed[name] = true
	}
	for i, call := range table {
		if errno := uint(i) + 1; !needed[call.name] {
			p.Syscalls = append(p.Syscalls, specs.LinuxSyscall{Names: []string{call.name}, Action: specs.ActErrno, ErrnoRet: &errno})
		}
	}
	p.Syscalls = append(p.Syscalls, allow(basics()...))
	return p
}
