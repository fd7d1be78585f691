package tty

import (
	"fmt"
	"strings"

	"github.com/moby/term"
)

// ErrDetached ends a relay in whose input the detach keys were typed. Its text is
// docker's.
var ErrDetached error = term.EscapeError{}

// defaultDetachKeys are ctrl-p,ctrl-q (moby container/stream/attach.go).
var defaultDetachKeys = []byte{'p' & 0x1f, 'q' & 0x1f}

// DetachKeys reads docker's notation of a key sequence ("ctrl-p,ctrl-q", "a,DEL");
// empty means the default. The text of an error is that of docker/cli 29.7.
func DetachKeys(keys string) ([]byte, error) {
	if keys == "" {
		return defaultDetachKeys, nil
	}
	b, err := term.ToBytes(keys)
	if err != nil {
		// moby/term began its errors with a capital until after 0.5.2.
		text := err.Error()
		return nil, fmt.Errorf("invalid detach keys (%s): %s", keys, strings.ToLower(text[:1])+text[1:])
	}
	return b, nil
}
