package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"dx/dockerx"
	"dx/dockerx/execspec"
	"dx/dockerx/exposure"
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
		box := &toolbox{&tools.Tree{Dirs: []string{"usr/bin", "bin"}, Origin: "/tools"}}
		box.environment(spec, &execRequest{container: &dockerx.Container{Name: "we$`b"}, env: test.given}, test.first)
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

// Each refusal says what can be done.
func TestToolsHints(t *testing.T) {
	for err, want := range map[error]string{
		&exposure.Error{Instead: "--share-pid=false hides it"}: "--share-pid=false hides",
		&exposure.Error{}:                                               "--expose-host goes on",
		fmt.Errorf("x: %w", tools.ErrNoBusybox):                         "busybox-static",
		&tools.DynamicError{Path: "/bin/x", Loader: "/lib/ld.so"}:       "--host-tools",
		fmt.Errorf("tools of %s: %w", "/x", tools.ErrOldKernel):         "dx exec",
		fmt.Errorf("%w: %w", tools.ErrNoBusybox, &tools.DynamicError{}): "busybox-static",
	} {
		if !ofTools(err) || !strings.Contains(hint(err), want) {
			t.Errorf("%v: hint %q, want %s", err, hint(err), want)
		}
	}
}
