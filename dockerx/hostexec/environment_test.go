package hostexec

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/dockerx/execspec"
	"dx/nsops/tools"
)

func TestToolsEnvironment(t *testing.T) {
	const own = "/proc/self/fd/99/usr/bin:/proc/self/fd/99/bin"
	prompt := `PS1=dx debug we??b:\w \$ `
	for _, test := range []struct {
		env, given, want []string
		first            bool
	}{
		{env: []string{"PATH=/bin", "A=1"}, want: []string{"PATH=/bin:" + own, "A=1", prompt}},
		{env: []string{"PATH=/bin", "A=1"}, first: true, want: []string{"PATH=" + own + ":/bin", "A=1", prompt}},
		{env: []string{"PATH=/x", "PATH=/bin"}, want: []string{"PATH=/x", "PATH=/bin:" + own, prompt}},
		{want: []string{"PATH=" + own, prompt}},
		{env: []string{"PS1=theirs"}, want: []string{"PATH=" + own, prompt}},
		{env: []string{"PS1=mine"}, given: []string{"PS1=mine"}, want: []string{"PS1=mine", "PATH=" + own}},
	} {
		spec := &execspec.Spec{Process: &specs.Process{Env: test.env}, Origins: map[string]string{}}
		kit := &Toolkit{&tools.Tree{Dirs: []string{"usr/bin", "bin"}, Origin: "/tools"}}
		kit.Environment(spec, "we$`b", test.given, test.first)
		if diff := cmp.Diff(test.want, spec.Process.Env); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.env, diff)
		}
	}
}

// A prompt is expanded by the shell: nothing of a name may be.
func TestPlainName(t *testing.T) {
	if got := plainName("a_B.9-:$(x)`y`\\u!\x1b\né"); strings.ContainsAny(got, "$`\\!\x1b\n()") || !strings.HasPrefix(got, "a_B.9-:?") {
		t.Errorf("a hostile name in a prompt is %q, want nothing in it that a shell expands", got)
	}
}

func TestWithVariables(t *testing.T) {
	got := withVariables([]string{"A=1", "AB=2", "C=3"}, []string{"A=x=y", "C", "D="})
	if want := []string{"AB=2", "A=x=y", "D="}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
