package launch

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"dx/e2e/await"
	"dx/e2e/standin"

	"golang.org/x/sys/unix"
)

// TestStatFSOutlivesSilence: a FUSE file system whose server never answers holds
// nobody but the process that asked, and the rest is told.
func TestStatFSOutlivesSilence(t *testing.T) {
	needRoot(t)
	silent := standin.SilentMount(t)
	root, err := os.OpenFile("/", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	inner := unshared(t, "--mount", "--pid", "--mount-proc", "--user", "--map-root-user")
	theirs, err := inner.OpenFile("root", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	want := []Answer{Answered, Answered, Failed, Silent, Unasked}
	ask := func(wait time.Duration) ([]Answer, error) {
		ctx, cancel := context.WithTimeout(context.Background(), wait)
		defer cancel()
		return StatFS(ctx, []MountPoint{{root, "/proc"}, {theirs, "/proc"}, {root, "/no/such/place"}, {root, silent}, {root, "/"}})
	}
	// On a busy machine those that answer need longer; the silent one never does.
	for wait := 300 * time.Millisecond; ; wait *= 4 {
		got, err := ask(wait)
		if err == nil && slices.Equal(got, want) {
			return
		}
		if err != nil || wait > await.Patience {
			t.Fatalf("within %v the answers are %v, %v, want %v", wait, got, err, want)
		}
	}
}
