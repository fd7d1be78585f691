package launch

import (
	"errors"
	"testing"

	"dx/nsops"
)

// TestOpenExactly: a process that has moved on since it was looked at.
func TestOpenExactly(t *testing.T) {
	needRoot(t)
	p := unshared(t, "--mount", "--uts")
	found, err := nsops.Read(p)
	if err != nil {
		t.Fatal(err)
	}
	target, err := OpenExactly(p, nil, found.Own)
	if err != nil {
		t.Fatal(err)
	}
	defer target.Close()
	if len(target.Joins) != 2 || target.Joins[0].Type != nsops.UTS || target.Joins[1].Type != nsops.Mnt {
		t.Errorf("it joins %+v", target.Joins)
	}
	for _, kind := range []nsops.Type{nsops.Mnt, nsops.User, nsops.Net} {
		id := found.Own[kind]
		found.Own[kind] = nsops.ID{Device: id.Device, Inode: id.Inode + 1}
		if _, err := OpenExactly(p, nil, found.Own); !errors.Is(err, nsops.ErrMoved) {
			t.Errorf("another %s namespace: %v", kind, err)
		}
		found.Own[kind] = id
	}
}
