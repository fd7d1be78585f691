package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

// detachedData reads the files of a container of `runc run -d` (runc 1.1.5).
func detachedData(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "runc-1.1", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestParseMade: the state says of a container what its config.json said.
func TestParseMade(t *testing.T) {
	made, err := ParseMade(detachedData(t, "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	spec, err := ParseSpec(detachedData(t, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	state, err := ParseState(detachedData(t, "state.json"))
	if err != nil {
		t.Fatal(err)
	}
	if state.Bundle != "/var/lib/bundles/b1" || made.Personality != nil || made.MemoryPolicy != nil {
		t.Errorf("%s, %+v, want the bundle, and nothing that runc 1.1 does not know", state.Bundle, made)
	}
	types := func(list []specs.LinuxNamespace) (out []string) {
		for _, ns := range list {
			out = append(out, string(ns.Type))
		}
		slices.Sort(out)
		return out
	}
	if diff := cmp.Diff(types(spec.Linux.Namespaces), types(made.Namespaces)); diff != "" {
		t.Errorf("namespaces (-config.json +state.json):\n%s", diff)
	}
	want := spec.Linux.Seccomp
	var single []specs.LinuxSyscall
	for _, c := range want.Syscalls {
		for _, name := range c.Names {
			one := c
			one.Names = []string{name}
			single = append(single, one)
		}
	}
	want.Syscalls = single
	if diff := cmp.Diff(want, made.Seccomp); diff != "" {
		t.Errorf("seccomp (-config.json +state.json):\n%s", diff)
	}
}

// TestParseMadeOfNewerRunc: what runc 1.4.0 has written for LINUX32 and a memory policy.
func TestParseMadeOfNewerRunc(t *testing.T) {
	const state = `{"id":"b1","init_process_pid":7,"config":{"labels":["x=y","bundle=/b"],
		"namespaces":[{"type":"NEWNS","path":""},{"type":"NEWTIME","path":"/proc/1/ns/time"}],"personality":{"domain":8},
		"memory_policy":{"mode":2,"flags":32768,"nodes":[1,2,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}}}`
	made, err := ParseMade([]byte(state))
	if err != nil {
		t.Fatal(err)
	}
	want := &Made{
		Namespaces:   []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.TimeNamespace, Path: "/proc/1/ns/time"}},
		Personality:  &specs.LinuxPersonality{Domain: specs.PerLinux32},
		MemoryPolicy: &specs.LinuxMemoryPolicy{Mode: specs.MpolBind, Nodes: "0,65", Flags: []specs.MemoryPolicyFlagType{specs.MpolFStaticNodes}},
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Error(diff)
	}
}

func TestParseMadeRefuses(t *testing.T) {
	for _, config := range []string{
		`{"namespaces":[{"type":"NEWOTHER"}]}`, `{"seccomp":{"default_action":0}}`, `{"seccomp":{"default_action":10}}`,
		`{"seccomp":{"default_action":4,"syscalls":[{"name":"x","action":-1}]}}`,
		`{"seccomp":{"default_action":4,"syscalls":[{"name":"x","action":2,"args":[{"op":9}]}]}}`,
		`{"memory_policy":{"mode":99}}`, `[]`,
	} {
		if made, err := ParseMade([]byte(`{"config":` + config + `}`)); err == nil {
			t.Errorf("%s is taken: %+v", config, made)
		}
	}
}

// TestDetachedIn: the state of this process's "container", and what keeps it from being
// believed.
func TestDetachedIn(t *testing.T) {
	self, err := proc.Open(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	for name, tc := range map[string]struct {
		start  uint64
		spoil  func(t *testing.T, root, bundle string)
		found  bool
		doubts bool // it says what keeps the bundle from being believed
	}{
		"as it should be":       {found: true},
		"another start time":    {start: 1},
		"a root for all":        {spoil: func(t *testing.T, root, _ string) { mustChmod(t, root, 0o777) }},
		"a sticky root for all": {spoil: func(t *testing.T, root, _ string) { mustChmod(t, root, 0o777|os.ModeSticky) }},
		"a state for all":       {spoil: func(t *testing.T, root, _ string) { mustChmod(t, root+"/c1", 0o770) }},
		"a state that is a link": {spoil: func(t *testing.T, root, _ string) {
			mustDo(t, os.Rename(root+"/c1", root+"/../elsewhere"), os.Symlink("../elsewhere", root+"/c1"))
		}},
		"a bundle for all": {spoil: func(t *testing.T, _, bundle string) { mustChmod(t, bundle, 0o777) }, doubts: true},
		"a bundle below a directory for all": {
			spoil: func(t *testing.T, _, bundle string) { mustChmod(t, filepath.Dir(bundle), 0o777) }, doubts: true,
		},
		"a bundle below a sticky one": {
			spoil: func(t *testing.T, _, bundle string) { mustChmod(t, filepath.Dir(bundle), 0o777|os.ModeSticky) }, found: true,
		},
		"a bundle behind a link": {spoil: func(t *testing.T, _, bundle string) {
			mustDo(t, os.Rename(bundle, bundle+"-"), os.Symlink(bundle+"-", bundle))
		}, doubts: true},
		"a config.json that is a FIFO": {spoil: func(t *testing.T, _, bundle string) {
			mustDo(t, os.Remove(bundle+"/config.json"), unix.Mkfifo(bundle+"/config.json", 0o600))
		}, doubts: true},
		"no bundle": {spoil: func(t *testing.T, _, bundle string) { mustDo(t, os.RemoveAll(bundle)) }, doubts: true},
	} {
		t.Run(name, func(t *testing.T) {
			root, bundle := t.TempDir(), filepath.Join(t.TempDir(), "b")
			start := self.StartTime + tc.start
			state := fmt.Sprintf(`{"id":"c1","init_process_pid":%d,"init_process_start":%d,"config":{"labels":["bundle=%s"],"namespaces":[{"type":"NEWNS"}]}}`, self.PID, start, bundle)
			const config = `{"process":{"env":["A=1"],"cwd":"/","user":{"uid":7}},"root":{"path":"r"},"linux":{"namespaces":[{"type":"pid"}]}}`
			mustDo(t, os.Mkdir(root+"/c1", 0o711), os.WriteFile(root+"/c1/state.json", []byte(state), 0o600),
				os.Mkdir(bundle, 0o700), os.WriteFile(bundle+"/config.json", []byte(config), 0o600))
			if tc.spoil != nil {
				tc.spoil(t, root, bundle)
			}
			d, err := detachedIn([]string{"/nowhere", root}, self)
			var doubt *DisbeliefError
			if tc.found != (err == nil) || tc.doubts != errors.As(err, &doubt) || err != nil && !errors.Is(err, ErrNoBundle) {
				t.Fatalf("%+v, %v", d, err)
			}
			if tc.found && (d.ID != "c1" || d.Spec.Process.User.UID != 7 || d.Spec.Linux.Namespaces[0].Type != specs.MountNamespace) {
				t.Errorf("%+v with %+v, want the bundle's process and the state's namespaces", d, d.Spec)
			}
		})
	}
}

func mustChmod(t *testing.T, name string, mode os.FileMode) {
	t.Helper()
	mustDo(t, os.Chmod(name, mode))
}

func mustDo(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}
