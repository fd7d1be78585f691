package host

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
)

func logText(lines []LogLine) string {
	var out []string
	for _, l := range lines {
		out = append(out, l.Stream+": "+l.Text)
	}
	return strings.Join(out, "\n")
}

// TestJSONLog: as dockerd writes it; a line of more than 16 KiB comes in parts.
func TestJSONLog(t *testing.T) {
	id := strings.Repeat("ab", 32)
	file := "containers/" + id + "/" + id + "-json.log"
	text := `{"log":"one\n","stream":"stdout","time":"2026-11-26T08:00:00.123456789Z"}
{"log":"lo","stream":"stderr","time":"2026-11-26T08:00:01Z"}
{"log":"between\n","stream":"stdout","time":"2026-11-26T08:00:01Z"}
{"log":"ng\n","stream":"stderr","time":"2026-11-26T08:00:01Z"}
{"log":"\u001b[31mred\n","stream":"stdout","time":"2026-11-26T08:00:02Z"}
{"log":"half a line of JSO`
	lines, err := madeStore(t, id, map[string]string{file: text}).Log(10)
	if want := "stdout: one\nstderr: long\nstdout: between\nstdout: \x1b[31mred"; err != nil || logText(lines) != want {
		t.Errorf("%q, %v, want %q", logText(lines), err, want)
	}
	if lines[0].Time.Nanosecond() != 123456789 {
		t.Errorf("the first was written at %v", lines[0].Time)
	}
	var long strings.Builder
	for i := range 20000 {
		fmt.Fprintf(&long, `{"log":"line %d\n","stream":"stdout","time":"2026-11-26T08:00:00Z"}`+"\n", i)
	}
	lines, err = madeStore(t, id, map[string]string{file: long.String()}).Log(2)
	if want := "stdout: line 19998\nstdout: line 19999"; err != nil || logText(lines) != want {
		t.Errorf("%q, %v, want %q", logText(lines), err, want)
	}
	if lines, err := madeStore(t, id, nil).Log(2); err != nil || len(lines) > 0 {
		t.Errorf("no log: %q, %v", logText(lines), err)
	}
	if lines, err := madeStore(t, id, map[string]string{file: "-> /etc/passwd"}).Log(2); err == nil {
		t.Errorf("a link in the log's place is followed: %q", logText(lines))
	}
}

// record is one of the driver local, as protoc-gen-go has it.
func localRecord(stream, line string, partial bool) string {
	field := func(key byte, s string) string {
		return string(append([]byte{key}, binary.AppendUvarint(nil, uint64(len(s)))...)) + s
	}
	m := field(1<<3|2, stream) + string(binary.AppendUvarint([]byte{2 << 3}, 1764144000123456789)) + field(3<<3|2, line)
	if partial {
		m += string([]byte{4 << 3, 1})
	}
	size := string(binary.BigEndian.AppendUint32(nil, uint32(len(m))))
	return size + m + size
}

func TestLocalLog(t *testing.T) {
	id := strings.Repeat("ab", 32)
	text := localRecord("stdout", strings.Repeat("x", maxLogBytes), false) + localRecord("stdout", "one", false) + localRecord("stderr", "lo", true) + localRecord("stderr", "ng", false)
	s := madeStore(t, id, map[string]string{"containers/" + id + "/local-logs/container.log": text})
	lines, err := s.Log(10)
	if want := "stdout: one\nstderr: long"; err != nil || logText(lines) != want || lines[0].Time.UnixNano() != 1764144000123456789 {
		t.Errorf("%q, %v, want %q", logText(lines), err, want)
	}
}

func FuzzLogs(f *testing.F) {
	f.Add([]byte(localRecord("stdout", "one", true)), false)
	f.Add([]byte(`{"log":"one\n","stream":"stdout"}`), true)
	f.Fuzz(func(t *testing.T, b []byte, cut bool) {
		if n := len(whole(parseLocalLog(b, cut))); n > len(b) {
			t.Errorf("%d lines of %d bytes", n, len(b))
		}
		whole(parseJSONLog(b, cut))
	})
}
