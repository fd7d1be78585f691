//go:build amd64

package seccomp

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// engineCases are containers: options of docker run, and a profile if it is not
// the engine's own.
var engineCases = []struct {
	name    string
	options []string
	profile *specs.LinuxSeccomp
}{
	{name: "default"},
	{name: "cap-sys-admin", options: []string{"--cap-add", "SYS_ADMIN"}},
	{name: "cap-several", options: []string{"--cap-add", "SYS_ADMIN", "--cap-add", "SYS_PTRACE", "--cap-add", "SYSLOG", "--cap-add", "DAC_READ_SEARCH"}},
	{name: "cap-none", options: []string{"--cap-drop", "ALL"}},
	{name: "arguments", profile: argumentsProfile()},
	{name: "blocklist", profile: blocklistProfile()},
	{name: "names", profile: namesProfile()},
	{name: "unlisted-native", profile: denying(nil)},
	{name: "amd64-only", profile: denying([]specs.Arch{specs.ArchX86_64})},
	{name: "amd64-386", profile: denying([]specs.Arch{specs.ArchX86_64, specs.ArchX86, specs.ArchAARCH64, specs.ArchARM})},
}

// TestEngine compares with the filters that a real engine's containers have. With
// -update it also writes them to testdata.
func TestEngine(t *testing.T) {
	engine := os.Getenv("DX_TEST_ENGINE")
	if engine == "" {
		t.Skip("DX_TEST_ENGINE names no engine (a DOCKER_HOST URL)")
	}
	for _, c := range engineCases {
		t.Run(c.name, func(t *testing.T) {
			pid := startContainer(t, engine, c.options, c.profile)
			profile := bundleProfile(t, pid)
			program := installedProgram(t, pid)
			if *update {
				save(t, c.name, profile, program)
			}
			want, err := NewFilter(parseProgram(program), AMD64)
			if err != nil {
				t.Fatal(err)
			}
			got, err := bookworm.Compile(profile, AMD64)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, profile, want, got)
		})
	}
}

// startContainer runs a container that sleeps and returns the PID of its init.
func startContainer(t *testing.T, engine string, options []string, profile *specs.LinuxSeccomp) int {
	t.Helper()
	image := os.Getenv("DX_TEST_IMAGE")
	if image == "" {
		image = "bb"
	}
	name := fmt.Sprintf("dx-seccomp-%d-%s", os.Getpid(), filepath.Base(t.Name()))
	args := append([]string{"run", "-d", "--name", name, "--network", "none"}, options...)
	if profile != nil {
		args = append(args, "--security-opt", "seccomp="+writeProfile(t, profile))
	}
	// Before the run: a container whose start fails is there anyway.
	t.Cleanup(func() { docker(t, engine, "rm", "-f", name) })
	docker(t, engine, append(args, image, "sleep", "600")...)
	pid, err := strconv.Atoi(docker(t, engine, "inspect", "-f", "{{.State.Pid}}", name))
	if err != nil || pid == 0 {
		t.Fatalf("container %s has no process: %v", name, err)
	}
	return pid
}

func docker(t *testing.T, engine string, args ...string) string {
	t.Helper()
	cmd := exec.Command("docker", append([]string{"-H", engine}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("docker %s: %v", strings.Join(args, " "), err)
	}
	return strings.TrimSpace(string(out))
}

func writeProfile(t *testing.T, profile *specs.LinuxSeccomp) string {
	t.Helper()
	b, err := json.Marshal(profile)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "profile.json")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// bundleProfile reads linux.seccomp of the bundle, which is the working directory
// of the shim, the parent of a container's init.
func bundleProfile(t *testing.T, pid int) *specs.LinuxSeccomp {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var spec specs.Spec
	readJSON(t, "/proc/"+fields[1]+"/cwd/config.json", &spec)
	if spec.Linux == nil || spec.Linux.Seccomp == nil {
		t.Fatal("the bundle has no seccomp profile")
	}
	return spec.Linux.Seccomp
}

// installedProgram asks the kernel for the filter of a process, as the array of
// struct sock_filter that was loaded (PTRACE_SECCOMP_GET_FILTER of ptrace(2)).
func installedProgram(t *testing.T, pid int) []byte {
	t.Helper()
	runtime.LockOSThread() // the tracer is a thread
	defer runtime.UnlockOSThread()
	if err := unix.PtraceAttach(pid); err != nil {
		t.Fatalf("attach to %d: %v", pid, err)
	}
	defer unix.PtraceDetach(pid)
	if _, err := unix.Wait4(pid, nil, unix.WALL, nil); err != nil {
		t.Fatalf("wait for %d: %v", pid, err)
	}
	program := make([]unix.SockFilter, maxProgram)
	n, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SECCOMP_GET_FILTER, uintptr(pid), 0,
		uintptr(unsafe.Pointer(&program[0])), 0, 0)
	if errno != 0 {
		t.Fatalf("seccomp filter of %d: %v", pid, errno)
	}
	var out []byte
	for _, f := range program[:n] {
		out = binary.LittleEndian.AppendUint16(out, f.Code)
		out = binary.LittleEndian.AppendUint32(append(out, f.Jt, f.Jf), f.K)
	}
	return out
}

func save(t *testing.T, name string, profile *specs.LinuxSeccomp, program []byte) {
	t.Helper()
	b, err := json.Marshal(profile)
	if err == nil {
		err = os.WriteFile("testdata/"+name+".json", append(b, '\n'), 0o644)
	}
	if err == nil {
		err = os.WriteFile("testdata/"+name+".bpf", program, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
}
