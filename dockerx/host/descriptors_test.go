package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"dx/e2e/await"
	"dx/e2e/standin"
)

// leadingBelow returns to what below a directory descriptors of this process lead.
func leadingBelow(t *testing.T, dir string) []string {
	t.Helper()
	names, err := filepath.Glob("/proc/self/fd/*")
	standin.Must(t, err)
	var out []string
	for _, name := range names {
		if to, err := os.Readlink(name); err == nil && strings.HasPrefix(to, dir) {
			out = append(out, to)
		}
	}
	return out
}

// TestListingClosesTheState: the runtime's state is read where init.pid is missing, and
// where it names a process that is not the init.
func TestListingClosesTheState(t *testing.T) {
	s := newStandIn(t)
	standin.Must(t, os.Remove(s.bundle+"/init.pid"))
	l, err := List(func(error) {})
	standin.Must(t, err)
	seen := 0
	for _, f := range l.Found {
		if !s.has(f) {
			continue
		}
		for pid := range f.Inits() {
			if seen++; seen <= 2 && pid != s.init.PID {
				t.Errorf("the runtime's state names pid %d, want %d", pid, s.init.PID)
			}
		}
	}
	if seen < 2 {
		t.Fatalf("%d inits are named, want that of the listing and that of the state", seen)
	}
	l.Close()
	if open := leadingBelow(t, s.root); len(open) != 0 {
		t.Errorf("left open: %q", open)
	}
}

// TestGrowTable: there is room before it is needed.
func TestGrowTable(t *testing.T) {
	const want = 5000
	var limit unix.Rlimit
	standin.Must(t, unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	if limit.Cur < want {
		t.Skipf("it takes %d descriptors, and this process may have %d", want, limit.Cur)
	}
	growTable(want)
	await.Until(t, "the table is that large", func() bool {
		b, err := os.ReadFile("/proc/self/status")
		standin.Must(t, err)
		_, rest, _ := strings.Cut(string(b), "\nFDSize:")
		var size int
		_, err = fmt.Sscan(rest, &size)
		return err == nil && size > want
	})
}
