package proc

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
)

// IDMap is a /proc/PID/uid_map or gid_map (user_namespaces(7)). The kernel allows
// 340 lines.
type IDMap []IDRange

// IDRange maps Count ids from Inside, in the namespace, to Outside, in the reader's.
type IDRange struct{ Inside, Outside, Count uint32 }

// String returns a line of the file: "0 200000 65536".
func (r IDRange) String() string { return fmt.Sprintf("%d %d %d", r.Inside, r.Outside, r.Count) }

// String returns the lines, divided by commas.
func (m IDMap) String() string {
	lines := make([]string, len(m))
	for i, r := range m {
		lines[i] = r.String()
	}
	return strings.Join(lines, ", ")
}

// Inner returns the id in the namespace of one that the reader sees; ok is false for an
// id that the namespace does not have.
func (m IDMap) Inner(outer uint32) (inner uint32, ok bool) {
	for _, r := range m {
		if outer >= r.Outside && outer-r.Outside < r.Count {
			return r.Inside + outer - r.Outside, true
		}
	}
	return 0, false
}

// Outer returns the id that the reader sees of one in the namespace; ok is false for an
// id that the namespace does not have.
func (m IDMap) Outer(inner uint32) (outer uint32, ok bool) {
	for _, r := range m {
		if inner >= r.Inside && inner-r.Inside < r.Count {
			return r.Outside + inner - r.Inside, true
		}
	}
	return 0, false
}

// UIDMap reads /proc/PID/uid_map.
func (p *Process) UIDMap() (IDMap, error) { return p.idMap("uid_map") }

// GIDMap reads /proc/PID/gid_map.
func (p *Process) GIDMap() (IDMap, error) { return p.idMap("gid_map") }

func (p *Process) idMap(file string) (IDMap, error) {
	b, err := p.ReadFile(file)
	if err != nil {
		return nil, err
	}
	m, err := ParseIDMap(bytes.NewReader(b))
	if err != nil {
		return nil, fmt.Errorf("/proc/%d/%s: %w", p.PID, file, err)
	}
	return m, nil
}

// ParseIDMap parses lines of three numbers: inside, outside, count. Unlike
// user.ParseIDMap of moby/sys it takes no word for a zero, which is root's number.
func ParseIDMap(r io.Reader) (IDMap, error) {
	var m IDMap
	sc := bufio.NewScanner(io.LimitReader(r, 64<<10))
	for sc.Scan() {
		n, err := numbers[uint32](sc.Text())
		if err != nil {
			return nil, err
		}
		if len(n) != 3 {
			return nil, fmt.Errorf("%d numbers in %q, want 3", len(n), sc.Text())
		}
		m = append(m, IDRange{Inside: n[0], Outside: n[1], Count: n[2]})
	}
	return m, sc.Err()
}
