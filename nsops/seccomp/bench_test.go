package seccomp

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// BenchmarkCompile compiles Docker's default profile for its three ABIs.
func BenchmarkCompile(b *testing.B) {
	raw, err := os.ReadFile("testdata/default.json")
	if err != nil {
		b.Fatal(err)
	}
	var profile specs.LinuxSeccomp
	if err := json.Unmarshal(raw, &profile); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	var f *Filter
	for b.Loop() {
		if f, err = Compile(&profile, AMD64); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(len(f.Program)), "instructions")
}

// BenchmarkEvaluate asks for one call, as the launcher does.
func BenchmarkEvaluate(b *testing.B) {
	f, err := Compile(namesProfile(), AMD64)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		f.Allows(unix.SYS_EXECVE)
	}
}
