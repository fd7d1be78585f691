package seccomp

import (
	"encoding/binary"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

var update = flag.Bool("update", false, "write what the engine of DX_TEST_ENGINE installs to testdata")

// bookworm is the runtime that the filters in testdata come from: runc 1.1.5 and
// libseccomp 2.5.4 of Debian 12, whose table ends with futex_requeue(2).
var bookworm = Runtime{
	Runc11: true,
	Knows: func(name string) bool {
		nr := lookup(name).numbers[AMD64]
		return nr >= 436 && nr <= 456
	},
}

// TestCaptured compares with filters that runc installed in containers and that
// the kernel gave back: see testdata/README.md.
func TestCaptured(t *testing.T) {
	profiles, err := filepath.Glob("testdata/*.json")
	if err != nil || len(profiles) == 0 {
		t.Fatalf("no profiles in testdata: %v", err)
	}
	for _, path := range profiles {
		name, arch := strings.TrimSuffix(filepath.Base(path), ".json"), AMD64
		if strings.HasPrefix(name, "arm64-") {
			arch = ARM64
		}
		t.Run(name, func(t *testing.T) {
			var profile specs.LinuxSeccomp
			readJSON(t, path, &profile)
			program, err := os.ReadFile(strings.TrimSuffix(path, ".json") + ".bpf")
			if err != nil {
				t.Fatal(err)
			}
			want, err := NewFilter(parseProgram(program), arch)
			if err != nil {
				t.Fatal(err)
			}
			got, err := bookworm.Compile(&profile, arch)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, &profile, want, got)
		})
	}
}

func readJSON(t *testing.T, path string, to any) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(b, to)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// parseProgram reads an array of struct sock_filter, little-endian.
func parseProgram(b []byte) []unix.SockFilter {
	var out []unix.SockFilter
	for ; len(b) >= 8; b = b[8:] {
		out = append(out, unix.SockFilter{
			Code: binary.LittleEndian.Uint16(b), Jt: b[2], Jf: b[3], K: binary.LittleEndian.Uint32(b[4:]),
		})
	}
	return out
}
