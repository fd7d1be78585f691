package posture

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"dx/nsops"
	"dx/nsops/caps"
	"dx/nsops/proc"
)

// Identity is who the process is, by the numbers of the caller's user namespace.
type Identity struct {
	Command      []string // its arguments; of a kernel thread its name
	Pids         []int    // from the caller's PID namespace inwards
	User, Group  IDs
	InsideUID    *uint32 // the effective ones in its own user namespace; nil: not mapped
	InsideGID    *uint32
	Groups       []uint32
	Umask        *uint32
	UIDMap       proc.IDMap
	GIDMap       proc.IDMap
	InsideGroups []uint32 // those of Groups that are mapped
}

// IDs are a process's four (credentials(7)).
type IDs struct{ Real, Effective, Saved, FS uint32 }

// Capabilities are sets of names, in the order of their numbers.
type Capabilities struct {
	Effective, Permitted, Inheritable, Bounding, Ambient []string
	// Complete: the bounding set lacks nothing that this kernel knows.
	Complete bool
}

// Security is what confines the process beside its capabilities.
type Security struct {
	Seccomp        string // disabled, strict, filter
	SeccompFilters int    // kernels from 5.9
	NoNewPrivs     bool
	LSM            string // label of attr/current; empty: there is no such module
}

// Limits are those of the process alone.
type Limits struct {
	Rlimits     []Rlimit
	OOMScoreAdj int
	CPUs        string // that it may run on, "0-3"
}

// Rlimit is named as docker's --ulimit has it: nofile.
type Rlimit struct {
	Name       string
	Soft, Hard proc.Limit
}

func (r *reader) identity() error {
	st, err := r.p.Status()
	if err != nil {
		return err
	}
	id := &Identity{
		Pids: st.NSpid, Groups: st.Groups, Umask: st.Umask,
		User:  IDs{st.UID[0], st.UID[1], st.UID[2], st.UID[3]},
		Group: IDs{st.GID[0], st.GID[1], st.GID[2], st.GID[3]},
	}
	if id.Command, err = r.command(st.Name); err != nil {
		return err
	}
	if id.UIDMap, err = r.p.UIDMap(); err == nil {
		id.GIDMap, err = r.p.GIDMap()
	}
	if err != nil && !errors.Is(err, unix.ENOENT) { // a kernel without user namespaces
		return err
	}
	r.translate(id)
	r.out.Identity = id
	return nil
}

// translate finds what the ids are to the process itself. In the caller's own user
// namespace the maps lead further outwards and mean nothing here.
func (r *reader) translate(id *Identity) {
	inside := insideOf
	if r.sharesOwn(nsops.User) {
		inside = func(_ proc.IDMap, n uint32) *uint32 { return &n }
	}
	id.InsideUID = inside(id.UIDMap, id.User.Effective)
	id.InsideGID = inside(id.GIDMap, id.Group.Effective)
	for _, g := range id.Groups {
		if in := inside(id.GIDMap, g); in != nil {
			id.InsideGroups = append(id.InsideGroups, *in)
		}
	}
}

func insideOf(m proc.IDMap, n uint32) *uint32 {
	if in, ok := m.Inner(n); ok {
		return &in
	}
	return nil
}

// maxCommand bounds what is kept of a command line.
const maxCommand = 4096

func (r *reader) command(name string) ([]string, error) {
	b, _, err := r.p.CommandLine(maxCommand)
	if errors.Is(err, proc.ErrMemoryLocked) {
		return []string{"[" + name + "]"}, nil
	}
	if err != nil {
		return nil, err
	}
	text := strings.TrimRight(string(b), "\x00")
	if text == "" {
		return []string{"[" + name + "]"}, nil
	}
	return strings.Split(text, "\x00"), nil
}

func (r *reader) capabilities() error {
	st, err := r.p.Status()
	if err != nil {
		return err
	}
	r.out.Capabilities = &Capabilities{
		Effective: caps.Names(st.CapEff), Permitted: caps.Names(st.CapPrm), Inheritable: caps.Names(st.CapInh),
		Bounding: caps.Names(st.CapBnd), Ambient: caps.Names(st.CapAmb),
		Complete: caps.Supported()&^st.CapBnd == 0,
	}
	return nil
}

func (r *reader) security() error {
	st, err := r.p.Status()
	if err != nil {
		return err
	}
	s := &Security{SeccompFilters: st.SeccompFilters, NoNewPrivs: st.NoNewPrivs}
	switch st.Seccomp {
	case 0:
		s.Seccomp = "disabled"
	case 1:
		s.Seccomp = "strict"
	case 2:
		s.Seccomp = "filter"
	default:
		s.Seccomp = strconv.Itoa(st.Seccomp)
	}
	label, err := r.p.ReadFile("attr/current")
	switch {
	case err == nil:
		s.LSM = strings.TrimRight(string(label), "\x00\n")
	case !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOENT):
		return err // those two: there is no such module
	}
	r.out.Security = s
	return nil
}

func (r *reader) limits() error {
	rlimits, err := r.p.Rlimits()
	if err != nil {
		return err
	}
	st, err := r.p.Status()
	if err != nil {
		return err
	}
	l := &Limits{CPUs: st.CpusAllowedList}
	for _, given := range rlimits {
		name := strings.ToLower(strings.TrimPrefix(given.Type, "RLIMIT_"))
		l.Rlimits = append(l.Rlimits, Rlimit{Name: name, Soft: proc.Limit(given.Soft), Hard: proc.Limit(given.Hard)})
	}
	b, err := r.p.ReadFile("oom_score_adj")
	if err != nil {
		return err
	}
	if l.OOMScoreAdj, err = strconv.Atoi(strings.TrimSpace(string(b))); err != nil {
		return fmt.Errorf("%s: %w", file(r.p.PID, "oom_score_adj"), err)
	}
	r.out.Limits = l
	return nil
}
