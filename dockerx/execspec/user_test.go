package execspec

import (
	"slices"
	"testing"

	"dx/dockerx/internal/testengine"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

var testAccounts = Accounts{Passwd: []byte(testengine.Passwd), Group: []byte(testengine.Group)}

// The rules are moby's (daemon/oci_linux.go, getUser); the parity test holds
// most of them against a real engine.
func TestLookupUser(t *testing.T) {
	for _, c := range []struct {
		name     string
		accounts Accounts
		add      []string
		want     specs.User
		err      string
	}{
		{"app", testAccounts, nil, specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{1000, 10, 1000, 50}}, ""},
		{"1000", testAccounts, nil, specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{1000, 10, 1000, 50}}, ""},
		{"app:wheel", testAccounts, nil, specs.User{UID: 1000, GID: 10, AdditionalGids: []uint32{10}}, ""},
		{"0", testAccounts, nil, specs.User{AdditionalGids: []uint32{0, 10}}, ""},
		{"4321", testAccounts, []string{"777", "staff"}, specs.User{UID: 4321, AdditionalGids: []uint32{0, 50, 777}}, ""},
		{"4321:99", Accounts{}, nil, specs.User{UID: 4321, GID: 99, AdditionalGids: []uint32{99}}, ""},
		{"ghost", testAccounts, nil, specs.User{}, "unable to find user ghost: no matching entries in passwd file"},
		{"app", Accounts{}, nil, specs.User{}, "unable to find user app: no matching entries in passwd file"},
		{"app:ghosts", testAccounts, nil, specs.User{}, "unable to find group ghosts: no matching entries in group file"},
		{"app", testAccounts, []string{"ghosts"}, specs.User{}, "unable to find group ghosts: no matching entries in group file"},
		{"2147483648", testAccounts, nil, specs.User{}, "uids and gids must be in range 0-2147483647"},
	} {
		got, err := lookupUser(c.accounts, c.name, c.add)
		if c.err != "" {
			if err == nil || err.Error() != c.err {
				t.Errorf("%s: %v, want %s", c.name, err, c.err)
			}
			continue
		}
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v, user (-want +got):\n%s", c.name, err, diff)
		}
	}
}

// containerd's rules (pkg/oci/spec_opts.go: WithUser, WithAdditionalGIDs,
// WithAppendAdditionalGroups), read there.
func TestLookupUserSnapshotter(t *testing.T) {
	for _, c := range []struct {
		name string
		add  []string
		want specs.User
	}{
		// The group "app" is skipped: it is named like the user.
		{"app", nil, specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{1000, 10, 50}}},
		{"1000", nil, specs.User{UID: 1000, GID: 1000, AdditionalGids: []uint32{1000, 10, 50}}},
		{"app:wheel", nil, specs.User{UID: 1000, GID: 10, AdditionalGids: []uint32{10}}},
		{"4321", []string{"staff", "777"}, specs.User{UID: 4321, AdditionalGids: []uint32{0, 50, 777}}},
		// Beside a group the user's own does not count, also beside none.
		{"app:", nil, specs.User{UID: 1000, AdditionalGids: []uint32{0}}},
		{"1000:", nil, specs.User{UID: 1000, AdditionalGids: []uint32{0}}},
		{":wheel", nil, specs.User{GID: 10, AdditionalGids: []uint32{10}}},
	} {
		got, err := lookupUserSnapshotter(testAccounts, c.name, c.add)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
			t.Errorf("%s: %v, user (-want +got):\n%s", c.name, err, diff)
		}
	}
}

func FuzzLookupUser(f *testing.F) {
	f.Add("app:wheel", []byte(testengine.Passwd), []byte(testengine.Group), "staff")
	f.Add("0", []byte("root:x:0:0"), []byte(":::"), "1")
	f.Fuzz(func(t *testing.T, name string, passwd, group []byte, add string) {
		a := Accounts{Passwd: passwd, Group: group}
		for _, find := range []lookup{lookupUser, lookupUserSnapshotter} {
			u, err := find(a, name, []string{add})
			if err == nil && len(u.AdditionalGids) == 0 {
				t.Errorf("%q: %+v without its own group", name, u)
			}
		}
	})
}

// TestGroupsOfOldRunc: libcontainer/user's GetAdditionalGroups of runc 1.1 takes the
// first group that has the number or is named like it, unless its ID is there already.
func TestGroupsOfOldRunc(t *testing.T) {
	const odd = "4000:x:55:\n10:x:20:\nten:x:10:\n"
	for _, c := range []struct {
		group     string
		ids, want []uint32
	}{
		{odd, []uint32{4000}, []uint32{55}},
		{odd, []uint32{4000, 55}, []uint32{55}},
		{odd, []uint32{55, 4000}, []uint32{55, 4000}},
		{odd, []uint32{10}, []uint32{20}},
		{odd, []uint32{10, 10}, []uint32{20, 10}},
		{testengine.Group, []uint32{0, 10, 0, 77}, []uint32{0, 10, 77}},
		{"", []uint32{1, 1}, []uint32{1}},
	} {
		if got := groupsOfOldRunc(Accounts{Group: []byte(c.group)}, c.ids); !slices.Equal(got, c.want) {
			t.Errorf("%v in %q: %v, want %v", c.ids, c.group, got, c.want)
		}
	}
}
