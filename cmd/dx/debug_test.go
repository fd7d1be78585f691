package main

import (
	"fmt"
	"strings"
	"testing"

	"dx/dockerx/exposure"
	"dx/nsops/tools"
)

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
