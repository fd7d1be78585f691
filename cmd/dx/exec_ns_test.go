package main

import (
	"slices"
	"testing"

	"dx/nsops"
)

func TestNSFlag(t *testing.T) {
	var n nsFlag
	for _, s := range []string{"net,pid", "network, mount"} {
		if err := n.Set(s); err != nil {
			t.Fatal(err)
		}
	}
	if want := (nsFlag{nsops.Net, nsops.PID, nsops.Mnt}); !slices.Equal(n, want) {
		t.Errorf("got %v, want %v", n, want)
	}
	for _, s := range []string{"", "net,", "all", "NET"} {
		if err := n.Set(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}
