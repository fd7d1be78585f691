package caps

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNamesAndNumbers(t *testing.T) {
	for n, name := range map[int]string{
		unix.CAP_CHOWN: "CAP_CHOWN", unix.CAP_SYS_ADMIN: "CAP_SYS_ADMIN", unix.CAP_CHECKPOINT_RESTORE: "CAP_CHECKPOINT_RESTORE", 62: "CAP_62",
	} {
		if got := Name(n); got != name {
			t.Errorf("%d is %s, want %s", n, got, name)
		}
		if got, ok := Number(name); got != n || !ok {
			t.Errorf("%s is %d, %v, want %d", name, got, ok, n)
		}
	}
	if n, ok := Number("sys_admin"); n != unix.CAP_SYS_ADMIN || !ok {
		t.Errorf("sys_admin is %d, %v", n, ok)
	}
	for _, name := range []string{"", "CAP_", "CAP_FLY", "CAP_64", "CAP_-1", "CAP_999"} {
		if n, ok := Number(name); ok {
			t.Errorf("%q is no capability, and not %d", name, n)
		}
	}
}

func TestMasks(t *testing.T) {
	const mask = 1<<unix.CAP_KILL | 1<<unix.CAP_NET_RAW | 1<<63
	names := []string{"CAP_KILL", "CAP_NET_RAW", "CAP_63"}
	if got := Names(mask); !slices.Equal(got, names) {
		t.Errorf("%x is %v", uint64(mask), got)
	}
	if got := Mask(append(names, "CAP_FLY")); got != mask {
		t.Errorf("%v is %x", names, got)
	}
	if got := Supported(); got&(1<<unix.CAP_CHOWN) == 0 || Mask(Names(got)) != got {
		t.Errorf("the kernel's own are %x", got)
	}
}
