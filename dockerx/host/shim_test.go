package host

import "testing"

func TestParseShimAddress(t *testing.T) {
	for text, want := range map[string]string{
		"unix:///run/containerd/s/abc":                                              "/run/containerd/s/abc",
		`{"version":3,"address":"unix:///run/containerd/s/abc","protocol":"ttrpc"}`: "/run/containerd/s/abc",
		`{"version":3,"address":"unix:///run/containerd/s/abc","protocol":"grpc"}`:  "",
		"": "", "{": "", "unix://relative": "", "tcp://1.2.3.4:5": "",
	} {
		if got := parseShimAddress([]byte(text)); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
