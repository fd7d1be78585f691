package proc

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// limitNames are the names in /proc/PID/limits (kernel fs/proc/base.c, lnames) and those
// of the OCI specification, by number.
var limitNames = [...]struct{ file, oci string }{
	unix.RLIMIT_CPU:        {"Max cpu time", "RLIMIT_CPU"},
	unix.RLIMIT_FSIZE:      {"Max file size", "RLIMIT_FSIZE"},
	unix.RLIMIT_DATA:       {"Max data size", "RLIMIT_DATA"},
	unix.RLIMIT_STACK:      {"Max stack size", "RLIMIT_STACK"},
	unix.RLIMIT_CORE:       {"Max core file size", "RLIMIT_CORE"},
	unix.RLIMIT_RSS:        {"Max resident set", "RLIMIT_RSS"},
	unix.RLIMIT_NPROC:      {"Max processes", "RLIMIT_NPROC"},
	unix.RLIMIT_NOFILE:     {"Max open files", "RLIMIT_NOFILE"},
	unix.RLIMIT_MEMLOCK:    {"Max locked memory", "RLIMIT_MEMLOCK"},
	unix.RLIMIT_AS:         {"Max address space", "RLIMIT_AS"},
	unix.RLIMIT_LOCKS:      {"Max file locks", "RLIMIT_LOCKS"},
	unix.RLIMIT_SIGPENDING: {"Max pending signals", "RLIMIT_SIGPENDING"},
	unix.RLIMIT_MSGQUEUE:   {"Max msgqueue size", "RLIMIT_MSGQUEUE"},
	unix.RLIMIT_NICE:       {"Max nice priority", "RLIMIT_NICE"},
	unix.RLIMIT_RTPRIO:     {"Max realtime priority", "RLIMIT_RTPRIO"},
	unix.RLIMIT_RTTIME:     {"Max realtime timeout", "RLIMIT_RTTIME"},
}

// Rlimits returns the limits of the process, those of its main thread as of all, in the
// order of their numbers. Of a process of another user's that takes CAP_SYS_RESOURCE
// (kernel/sys.c, check_prlimit_permission); anybody may read /proc/PID/limits, which is
// slower.
func (p *Process) Rlimits() ([]specs.POSIXRlimit, error) {
	if l, ok := p.prlimits(); ok {
		return l, nil
	}
	b, err := p.ReadFile("limits")
	if err != nil {
		return nil, err
	}
	l, err := ParseLimits(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("/proc/%d/limits: %w", p.PID, err)
	}
	return l, nil
}

// prlimits asks by number, which was the process's only if it is still there.
func (p *Process) prlimits() (l []specs.POSIXRlimit, ok bool) {
	l = make([]specs.POSIXRlimit, len(limitNames))
	for i := range l {
		var lim unix.Rlimit
		if unix.Prlimit(p.PID, i, nil, &lim) != nil {
			return nil, false
		}
		l[i] = specs.POSIXRlimit{Type: limitNames[i].oci, Soft: lim.Cur, Hard: lim.Max}
	}
	return l, p.Alive() == nil
}

// ParseLimits parses the table of /proc/PID/limits, in its order. Rows that it
// does not know are skipped. Numbers are bytes, seconds, counts as in
// getrlimit(2); unlimited is RLIM_INFINITY.
func ParseLimits(r io.Reader) ([]specs.POSIXRlimit, error) {
	var out []specs.POSIXRlimit
	sc := bufio.NewScanner(io.LimitReader(r, 64<<10))
	for sc.Scan() {
		l, ok, err := parseLimit(sc.Text())
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, l)
		}
	}
	return out, sc.Err()
}

func parseLimit(line string) (l specs.POSIXRlimit, ok bool, err error) {
	const nameWidth = 26 // "%-25s " in fs/proc/base.c
	if len(line) < nameWidth {
		return l, false, nil
	}
	name := strings.TrimSpace(line[:nameWidth])
	for _, n := range limitNames {
		if n.file == name {
			l.Type, ok = n.oci, true
		}
	}
	f := strings.Fields(line[nameWidth:])
	if !ok || len(f) < 2 {
		return l, false, nil
	}
	if l.Soft, err = limitValue(f[0]); err != nil {
		return l, false, fmt.Errorf("%s: %w", l.Type, err)
	}
	if l.Hard, err = limitValue(f[1]); err != nil {
		return l, false, fmt.Errorf("%s: %w", l.Type, err)
	}
	return l, true, nil
}

func limitValue(s string) (uint64, error) {
	if s == "unlimited" {
		return math.MaxUint64, nil
	}
	return strconv.ParseUint(s, 10, 64)
}
