package launch

import (
	"bytes"
	"testing"
)

func TestNodeMask(t *testing.T) {
	for list, want := range map[string]map[int]byte{
		"": {}, "0": {0: 1}, "0-2,4": {0: 0b10111}, "63,64": {7: 0x80, 8: 1}, " 1 - 3 ": {0: 0b1110}, "1023": {127: 0x80},
	} {
		mask := make([]byte, maxNodes/8)
		for at, b := range want {
			mask[at] = b
		}
		if got, err := nodeMask(list); err != nil || !bytes.Equal(got, mask) { // of a little-endian machine
			t.Errorf("%q: %x, %v, want %x", list, got, err, mask)
		}
	}
	for _, list := range []string{"x", "-1", "2-1", "1024", "0-1024", "0,,1", "99999999999"} {
		if got, err := nodeMask(list); err == nil {
			t.Errorf("%q is taken: %x", list, got)
		}
	}
}
