package launch

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"

	"dx/e2e/await"
	"dx/nsops"
	"dx/nsops/proc"
)

// mountAt is the mount that a process has at a path; nil if it has none.
func mountAt(t *testing.T, p *proc.Process, path string) *mountinfo.Info {
	t.Helper()
	b, err := p.ReadFile("mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	infos, err := mountinfo.GetMountsFromReader(strings.NewReader(string(b)), nil)
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
	silent := mountSilentFUSE(t)
	p := unshared(t, "--mount", "--propagation", "private", "--pid")
	target, err := OpenTarget(p, nil, []nsops.Type{nsops.Mnt})
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	m := mountAt(t, p, silent)
	if m == nil {
		t.Fatalf("%s is not mounted there", silent)
	}
	ctx, cancel := context.WithTimeout(context.Background(), await.Patience)
	defer cancel()
	if err := Unmount(ctx, target, silent, m.ID+1); !errors.Is(err, ErrMountChanged) || mountAt(t, p, silent) == nil {
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
	if err := Unmount(ctx, target, silent, m.ID); err != nil || mountAt(t, p, silent) != nil {
		t.Errorf("the one that is meant: %v", err)
	}
	self, err := proc.Self()
	if err != nil {
		t.Fatal(err)
	}
	defer self.Close()
	if mountAt(t, self, silent) == nil {
		t.Error("it is gone from the caller's own mount namespace")
	}
}
