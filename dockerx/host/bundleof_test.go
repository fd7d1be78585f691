package host

import (
	"errors"
	"os"
	"reflect"
	"testing"

	"dx/dockerx/docker"
	"dx/e2e/standin"
)

// TestBundleOfAListing: it is the one that Open finds, also once the listing is closed.
func TestBundleOfAListing(t *testing.T) {
	s := newStandIn(t)
	want, err := Open(s.init)
	standin.Must(t, err)
	wantSpec, wantDocker := contents(t, want)
	standin.Must(t, want.Close())

	l, f := s.listed(t)
	if f.Docker() == nil {
		t.Error("Docker's files are not read")
	}
	got, err := f.BundleOf(s.init)
	standin.Must(t, err)
	if _, err := f.BundleOf(s.exec); !errors.Is(err, ErrNoBundle) {
		t.Errorf("of the init's sibling: %v", err)
	}
	l.Close()
	if got.ID != want.ID || got.Namespace != want.Namespace || got.Path != want.Path || got.Shim.PID != want.Shim.PID {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got.Status.PPID != want.Shim.PID || got.ShimStatus.UID != want.ShimStatus.UID || got.ShimStatus.CapBnd != want.ShimStatus.CapBnd {
		t.Errorf("status %+v of init, %+v of the shim", got.Status, got.ShimStatus)
	}
	gotSpec, gotDocker := contents(t, got)
	if !reflect.DeepEqual(gotSpec, wantSpec) || !reflect.DeepEqual(gotDocker, wantDocker) {
		t.Errorf("config.json %+v and Docker's files %+v, want %+v and %+v", gotSpec, gotDocker, wantSpec, wantDocker)
	}
	if head, err := got.StateHead(); err != nil || head.InitPID != s.init.PID || head.InitStart != s.init.StartTime {
		t.Errorf("state %+v, %v", head, err)
	}
	standin.Must(t, got.Close())
	if open := leadingBelow(t, s.root); len(open) != 0 {
		t.Errorf("left open: %q", open)
	}
}

// TestBundleOfNoInit: where only the runtime's state has named the init, the bundle does
// not vouch for it.
func TestBundleOfNoInit(t *testing.T) {
	s := newStandIn(t)
	standin.Must(t, os.Remove(s.bundle+"/init.pid"))
	l, f := s.listed(t)
	defer l.Close()
	if b, err := f.BundleOf(s.init); !errors.Is(err, ErrNoBundle) {
		t.Errorf("%+v, %v", b, err)
	}
}

// listed returns the container of the shim's own bundle, and the listing that has it.
func (s *standIn) listed(t *testing.T) (*Listing, *Found) {
	t.Helper()
	l, err := List(func(error) {})
	standin.Must(t, err)
	for _, f := range l.Found {
		if s.has(f) {
			return l, f
		}
	}
	l.Close()
	t.Fatal("the stand-in is not listed")
	return nil, nil
}

// contents returns what a bundle's files say.
func contents(t *testing.T, b *Bundle) (spec any, d *docker.Container) {
	t.Helper()
	s, err := b.Spec()
	standin.Must(t, err)
	d, err = b.Docker(s)
	standin.Must(t, err)
	if d.HostConfigOrigin == "" {
		t.Errorf("hostconfig.json is not read: %+v", d)
	}
	return s, d
}
