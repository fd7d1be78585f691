package host

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// LogLine is a line that a container has written.
type LogLine struct {
	Time   time.Time
	Stream string // "stdout", "stderr"
	Text   string // the container's choice
}

// The bounds of what is read of a log, from its end, and of how many lines are kept.
const (
	maxLogBytes = 256 << 10
	MaxLogLines = 100
)

// Log returns the last lines of the container's log, of the drivers json-file and local
// (moby, daemon/logger); none where another one has it.
func (s *Store) Log(most int) ([]LogLine, error) {
	for _, f := range []struct {
		dir, name string
		parse     func([]byte, bool) []LogLine
	}{
		{s.ID, s.ID + "-json.log", parseJSONLog},
		{s.ID + "/local-logs", "container.log", parseLocalLog},
	} {
		tail, cut, err := s.tail(f.dir, f.name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		lines := whole(f.parse(tail, cut))
		return lines[max(0, len(lines)-min(most, MaxLogLines)):], nil
	}
	return nil, nil
}

// tail reads the end of a file; cut reports whether there is more before it.
func (s *Store) tail(dir, name string) (b []byte, cut bool, err error) {
	at, err := handleAt(mustDup(s.containers), strings.Split(dir, "/")...)
	if err != nil {
		return nil, false, err
	}
	defer at.close()
	f, err := at.file(name)
	if err != nil {
		return nil, false, err
	}
	defer f.close()
	from := max(0, f.size-maxLogBytes)
	b = make([]byte, f.size-from)
	n, err := unix.Pread(f.fd, b, from)
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", f.path, err)
	}
	return b[:n], from > 0, nil
}

// mustDup is a handle that may be closed; none where there are no descriptors left, which
// whatever uses it says.
func mustDup(h handle) handle {
	again, _ := h.dup()
	return again
}

// parseJSONLog parses objects, one a line. The first line of a cut log is not whole.
func parseJSONLog(b []byte, cut bool) []LogLine {
	if cut {
		_, b, _ = bytes.Cut(b, []byte("\n"))
	}
	var out []LogLine
	for line := range bytes.Lines(b) {
		var l struct {
			Log, Stream string
			Time        time.Time
		}
		if json.Unmarshal(line, &l) == nil {
			out = append(out, LogLine{l.Time, l.Stream, l.Log})
		}
	}
	return out
}

// parseLocalLog parses records with their length before and behind them, from the end
// (daemon/logger/local/local.go).
func parseLocalLog(b []byte, _ bool) []LogLine {
	var out []LogLine
	for len(b) >= 8 && len(out) < 4*MaxLogLines {
		n := int64(binary.BigEndian.Uint32(b[len(b)-4:]))
		end := int64(len(b)) - 4
		if n > end-4 || int64(binary.BigEndian.Uint32(b[end-n-4:])) != n {
			break
		}
		out = append(out, parseLogEntry(b[end-n:end]))
		b = b[:end-n-4]
	}
	slices.Reverse(out)
	return out
}

// parseLogEntry parses a message of protocol buffers (api/types/plugins/logdriver,
// entry.proto): source, time_nano, line, partial. What is malformed ends it.
func parseLogEntry(b []byte) LogLine {
	var l LogLine
	partial := false
	for len(b) > 0 {
		key, n := binary.Uvarint(b)
		if n <= 0 {
			break
		}
		b = b[n:]
		value, n := binary.Uvarint(b)
		if n <= 0 {
			break
		}
		b = b[n:]
		switch {
		case key&7 == 0: // a number
			if key>>3 == 2 {
				l.Time = time.Unix(0, int64(value)).UTC()
			}
			partial = partial || key>>3 == 4 && value != 0
			continue
		case key&7 != 2 || value > uint64(len(b)): // not bytes
			return l
		}
		switch key >> 3 {
		case 1:
			l.Stream = string(b[:value])
		case 3:
			l.Text = string(b[:value])
		}
		b = b[value:]
	}
	if !partial {
		l.Text += "\n"
	}
	return l
}

// whole joins what was written in parts, as a long line is: only the last part ends.
func whole(parts []LogLine) []LogLine {
	var out []LogLine
	open := map[string]int{} // stream → its line that goes on
	for _, p := range parts {
		text, ends := strings.CutSuffix(p.Text, "\n")
		i, goesOn := open[p.Stream]
		if goesOn {
			out[i].Text += text
		} else {
			i = len(out)
			out = append(out, LogLine{p.Time, p.Stream, text})
		}
		if ends {
			delete(open, p.Stream)
		} else {
			open[p.Stream] = i
		}
	}
	return out
}
