package host

import (
	"strings"
	"testing"
)

// TestParseNspawn: the name among systemd-nspawn's arguments, and not among the guest's.
func TestParseNspawn(t *testing.T) {
	for line, want := range map[string]string{
		"systemd-nspawn -D /srv/root -M one /bin/sleep":                       "one",
		"systemd-nspawn --machine=two --quiet":                                "two",
		"systemd-nspawn --machine three -b":                                   "three",
		"systemd-nspawn -Mfour --keep-unit":                                   "four",
		"systemd-nspawn --quiet --keep-unit --boot --machine=five -U":         "five",
		"systemd-nspawn --directory /srv/x --machine=six":                     "six",
		"systemd-nspawn -D /srv/root /bin/tool -M other":                      "",
		"systemd-nspawn -D /srv/root -- -M other":                             "",
		"systemd-nspawn --directory -M --machine=seven":                       "seven",
		"systemd-nspawn -D /srv/root":                                         "",
		"systemd-nspawn --private-network --bind-ro=/x --hostname h -M eight": "eight",
		"systemd-nspawn -M":                                                   "", "": "",
	} {
		if got := parseNspawn(strings.Fields(line)); got != want {
			t.Errorf("%q is called %q, want %q", line, got, want)
		}
	}
}
