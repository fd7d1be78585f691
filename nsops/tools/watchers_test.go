package tools

import (
	"testing"

	"golang.org/x/sys/unix"

	"dx/nsops/proc"
)

func TestPower(t *testing.T) {
	bit := func(caps ...int) (mask uint64) {
		for _, c := range caps {
			mask |= 1 << c
		}
		return mask
	}
	full := bit(unix.CAP_SYS_ADMIN, unix.CAP_SYS_PTRACE, unix.CAP_SETUID)
	for _, test := range []struct {
		name         string
		bounds, over uint64
		want         bool
	}{
		{"docker's default over root", bit(unix.CAP_SETUID, unix.CAP_KILL), full, false},
		{"ptrace", bit(unix.CAP_SYS_PTRACE), full, true},
		{"the same without ptrace", bit(unix.CAP_SYS_ADMIN, unix.CAP_SETUID), bit(unix.CAP_SETUID), true},
		{"nothing over nothing", 0, 0, true},
		{"nothing over something", 0, bit(unix.CAP_KILL), false},
	} {
		got := power(proc.Status{CapBnd: test.bounds}, proc.Status{CapPrm: test.over}) != ""
		if got != test.want {
			t.Errorf("%s has power: %v, want %v", test.name, got, test.want)
		}
	}
}
