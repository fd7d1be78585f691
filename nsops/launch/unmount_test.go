package launch

import (
	"bytes"
	"context"
	"errors"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"

	"dx/e2e/await"
	"dx/e2e/standin"
	"dx/nsops"
)

// mountAt is the mount that a process or thread, NUMBER or thread-self, has at a path; nil if
// it has none.
func mountAt(t *testing.T, who, path string) *mountinfo.Info {
	t.Helper()
	b, err := os.ReadFile("/proc/" + who + "/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	infos, err := mountinfo.GetMountsFromReader(bytes.NewReader(b), nil)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(infos, func(m *mountinfo.Info) bool { return m.Mountpoint == path })
	if i < 0 {
		return nil
	}
	return infos[i]
}

// TestUnmount: the mount that is meant, in the mount namespace that is meant.
func TestUnmount(t *testing.T) {
	needRoot(t)
	silent := standin.SilentMount(t)
	p := unshared(t, "--mount", "--propagation", "private", "--pid")
	target, err := OpenTarget(p, nil, []nsops.Type{nsops.Mnt})
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	inside := strconv.Itoa(p.PID)
	m := mountAt(t, inside, silent)
	if m == nil {
		t.Fatalf("%s is not mounted there", silent)
	}
	ctx, cancel := context.WithTimeout(context.Background(), await.Patience)
	defer cancel()
	if err := Unmount(ctx, target, silent, m.ID+1); !errors.Is(err, ErrMountChanged) || mountAt(t, inside, silent) == nil {
		t.Errorf("with another ID: %v", err)
	}
	if err := Unmount(ctx, target, silent+"x", m.ID); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("another place: %v", err)
	}
	brief, stop := context.WithTimeout(ctx, 300*time.Millisecond)
	defer stop()
	if err := Unmount(brief, target, silent+"/below", m.ID); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("below the silent one: %v", err)
	}
	if err := Unmount(ctx, target, silent, m.ID); err != nil || mountAt(t, inside, silent) != nil {
		t.Errorf("the one that is meant: %v", err)
	}
	if mountAt(t, "thread-self", silent) == nil {
		t.Error("it is gone from the caller's own mount namespace")
	}
}
