package launch

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/nsops"
)

func sampleVisit() *Visit {
	pidfd := os.NewFile(90, "pidfd")
	return &Visit{
		Plan: &Plan{
			Process: &specs.Process{Args: []string{"ss"}, Env: []string{"PATH=/bin"}},
			Joins:   []Join{{nsops.Net, pidfd}, {nsops.PID, pidfd}},
			Kernel:  Kernel{LastCap: 40, Faccessat2: true, CloseRange: true},
		},
		Files: []Overlay{{"/etc/hosts", []byte("127.0.0.1 box\n")}},
		Proc:  true,
	}
}

func TestVisitExplainGolden(t *testing.T) {
	p, err := CompileVisit(sampleVisit())
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := p.Explain(&out); err != nil {
		t.Fatal(err)
	}
	checkGolden(t, "visit.txt", out.String())
}

// Who only joins makes no mount namespace, and the rights are never touched.
func TestVisitJoinsOnlyWhatIsNamed(t *testing.T) {
	v := sampleVisit()
	v.Files, v.Proc = nil, false
	p, err := CompileVisit(v)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"unshare", "mount", "capset", "setuid", "setgroups", "seccomp"} {
		if slices.Contains(calls(p, "prctl"), name) {
			t.Errorf("%s is called", name)
		}
	}
	// The container sees the child once it is born: the report page is gone then.
	if index(t, p, "madvise") > index(t, p, "clone") {
		t.Error("the child gets the report page")
	}
}

func TestVisitRefuses(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*Visit)
		want   string
	}{
		"no command":   {func(v *Visit) { v.Process.Args = nil }, "no command"},
		"NUL":          {func(v *Visit) { v.Process.Cwd = "/\x00" }, "NUL byte"},
		"a large file": {func(v *Visit) { v.Files[0].Content = make([]byte, maxOverlay+1) }, "/etc/hosts has"},
	} {
		v := sampleVisit()
		test.change(v)
		if _, err := CompileVisit(v); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want %q", name, err, test.want)
		}
	}
}
