package nsops_test

import (
	"errors"
	"os/exec"
	"testing"

	"dx/e2e/standin"
	"dx/nsops"
)

// TestRealmOf: who has made the outermost user namespace around a process, however many are
// in it, and whoever made those.
func TestRealmOf(t *testing.T) {
	standin.NeedRoot(t)
	nobody := []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"}
	for what, test := range map[string]struct {
		command []string
		owner   uint32
		depth   int
	}{
		"the caller's own":           {nil, 0, 0},
		"root's":                     {[]string{"unshare", "-U", "-r"}, 0, 1},
		"a plain user's":             {append(nobody, "unshare", "-U", "-r"), 65534, 1},
		"in one of a plain user's":   {append(nobody, "unshare", "-U", "-r", "unshare", "-U", "-r"), 65534, 2},
		"a plain user's, in root's":  {[]string{"unshare", "-U", "-r", "unshare", "-U", "-r"}, 0, 2},
		"a plain user's, by no user": {append(nobody, "unshare", "-U"), 65534, 1},
	} {
		command := append(test.command, "cat")
		p := standin.Start(t, exec.Command(command[0], command[1:]...))
		realm, err := nsops.RealmOf(p)
		if err != nil || realm.Owner != test.owner || realm.Depth != test.depth {
			t.Errorf("%s: %+v, %v, want owner %d and depth %d", what, realm, err, test.owner, test.depth)
		}
	}
	ended := standin.Start(t, exec.Command("cat"))
	standin.End(t, ended)
	if realm, err := nsops.RealmOf(ended); err == nil || errors.Is(err, nsops.ErrNotVisible) {
		t.Errorf("of a process that has ended: %+v, %v", realm, err)
	}
}
