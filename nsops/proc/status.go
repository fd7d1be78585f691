package proc

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Status is the part of /proc/PID/status that dx uses (proc_pid_status(5)).
type Status struct {
	Name           string
	Umask          *uint32   // nil on kernels before 4.7
	UID, GID       [4]uint32 // real, effective, saved, filesystem
	Groups         []uint32
	PPID           int   // in the reader's PID namespace; 0: none there
	NSpid          []int // from the reader's PID namespace inwards
	SigBlk, SigIgn uint64
	SigCgt, ShdPnd uint64
	CapInh, CapPrm uint64
	CapEff, CapBnd uint64
	CapAmb         uint64
	NoNewPrivs     bool
	Seccomp        int // 0 none, 1 strict, 2 filter
	SeccompFilters int // kernels from 5.9; 0 before
	TracerPID      int // 0: none, or none that the reader can see

	// SpeculationForced reports whether a mitigation of speculation is on for good
	// (PR_SPEC_FORCE_DISABLE): seccomp(2) can force it.
	SpeculationForced bool
	CpusAllowedList   string
}

// Status reads /proc/PID/status.
func (p *Process) Status() (Status, error) {
	var room page
	b, err := p.readOnce("status", &room)
	if err != nil {
		return Status{}, err
	}
	st, err := ParseStatus(b)
	if err != nil {
		return Status{}, fmt.Errorf("/proc/%d/status: %w", p.PID, err)
	}
	return st, nil
}

// UIDs returns the real, effective, saved and file-system uid as a pidfd tells them: that
// costs a fifth of reading /proc/PID/status. ok is false on kernels before 6.13, which do not
// (ioctl PIDFD_GET_INFO), and where it is not sure that the pidfd is this process's.
func (p *Process) UIDs() (uids [4]uint32, ok bool) {
	if pidfdsAreMute.Load() {
		return uids, false
	}
	if _, err := Self(); err != nil { // the number may be another's here
		return uids, false
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err != nil {
		return uids, false
	}
	defer unix.Close(fd)
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_CREDS}
	if err := unix.IoctlPidfdInfo(fd, &info); err != nil || info.Mask&unix.PIDFD_INFO_CREDS == 0 {
		pidfdsAreMute.Store(errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL))
		return uids, false
	}
	// It has had its number since before that.
	return [4]uint32{info.Ruid, info.Euid, info.Suid, info.Fsuid}, p.Alive() == nil
}

// pidfdsAreMute is set where the kernel does not know the question.
var pidfdsAreMute atomic.Bool

// OwnStatus reads the calling process's.
func OwnStatus() (Status, error) {
	self, err := Self()
	if err != nil {
		return Status{}, err
	}
	return self.Status()
}

// ParseStatus parses "Key:\tvalue" lines; keys that it does not know are skipped.
func ParseStatus(b []byte) (Status, error) {
	var st Status
	for line := range strings.Lines(string(b)) {
		key, val, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		if err := st.set(key, strings.TrimSpace(val)); err != nil {
			return st, fmt.Errorf("%s: %w", key, err)
		}
	}
	return st, nil
}

func (st *Status) set(key, val string) (err error) {
	if to := st.mask(key); to != nil {
		*to, err = strconv.ParseUint(val, 16, 64)
		return err
	}
	switch key {
	case "Name":
		st.Name = val
	case "Umask":
		u, err := strconv.ParseUint(val, 8, 32)
		mask := uint32(u)
		st.Umask = &mask
		return err
	case "Uid":
		return fourIDs(val, &st.UID)
	case "Gid":
		return fourIDs(val, &st.GID)
	case "Groups":
		st.Groups, err = numbers[uint32](val)
	case "PPid":
		st.PPID, err = strconv.Atoi(val)
	case "NSpid":
		st.NSpid, err = numbers[int](val)
	case "NoNewPrivs":
		st.NoNewPrivs = val == "1"
	case "Seccomp":
		st.Seccomp, err = strconv.Atoi(val)
	case "Seccomp_filters":
		st.SeccompFilters, err = strconv.Atoi(val)
	case "TracerPid":
		st.TracerPID, err = strconv.Atoi(val)
	case "Speculation_Store_Bypass", "SpeculationIndirectBranch":
		st.SpeculationForced = st.SpeculationForced || strings.Contains(val, "force")
	case "Cpus_allowed_list":
		st.CpusAllowedList = val
	}
	return err
}

// mask is the field of a key whose value is a bit mask in hexadecimal.
func (st *Status) mask(key string) *uint64 {
	switch key {
	case "SigBlk":
		return &st.SigBlk
	case "SigIgn":
		return &st.SigIgn
	case "SigCgt":
		return &st.SigCgt
	case "ShdPnd":
		return &st.ShdPnd
	case "CapInh":
		return &st.CapInh
	case "CapPrm":
		return &st.CapPrm
	case "CapEff":
		return &st.CapEff
	case "CapBnd":
		return &st.CapBnd
	case "CapAmb":
		return &st.CapAmb
	}
	return nil
}

func fourIDs(val string, to *[4]uint32) error {
	ids, err := numbers[uint32](val)
	if err == nil && len(ids) != 4 {
		err = fmt.Errorf("%d ids, want 4", len(ids))
	}
	if err == nil {
		copy(to[:], ids)
	}
	return err
}

func numbers[T int | uint32](val string) ([]T, error) {
	var out []T
	for _, f := range strings.Fields(val) {
		n, err := strconv.ParseUint(f, 10, 32)
		if err != nil {
			return nil, err
		}
		out = append(out, T(n))
	}
	return out, nil
}
