package proc

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// IDMap is a /proc/PID/uid_map or gid_map (user_namespaces(7)). The kernel allows
// 340 lines.
type IDMap []IDRange

// IDRange maps Count ids from Inside, in the namespace, to Outside, in the reader's.
type IDRange struct{ Inside, Outside, Count uint32 }

// Inner is the id in the namespace of one that the reader sees; ok is false for an
// id that the namespace does not have.
func (m IDMap) Inner(outer uint32) (inner uint32, ok bool) {
	for _, r := range m {
		if outer >= r.Outside && outer-r.Outside < r.Count {
			return r.Inside + outer - r.Outside, true
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

// ParseIDMap parses lines of three numbers: inside, outside, count.
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
