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
)

// limitNames maps the names in /proc/PID/limits (kernel fs/proc/base.c, lnames)
// to those of the OCI specification.
var limitNames = map[string]string{
	"Max cpu time":          "RLIMIT_CPU",
	"Max file size":         "RLIMIT_FSIZE",
	"Max data size":         "RLIMIT_DATA",
	"Max stack size":        "RLIMIT_STACK",
	"Max core file size":    "RLIMIT_CORE",
	"Max resident set":      "RLIMIT_RSS",
	"Max processes":         "RLIMIT_NPROC",
	"Max open files":        "RLIMIT_NOFILE",
	"Max locked memory":     "RLIMIT_MEMLOCK",
	"Max address space":     "RLIMIT_AS",
	"Max file locks":        "RLIMIT_LOCKS",
	"Max pending signals":   "RLIMIT_SIGPENDING",
	"Max msgqueue size":     "RLIMIT_MSGQUEUE",
	"Max nice priority":     "RLIMIT_NICE",
	"Max realtime priority": "RLIMIT_RTPRIO",
	"Max realtime timeout":  "RLIMIT_RTTIME",
}

// Rlimits reads /proc/PID/limits.
func (p *Process) Rlimits() ([]specs.POSIXRlimit, error) {
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
	l.Type, ok = limitNames[strings.TrimSpace(line[:nameWidth])]
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
