package host

import "testing"

// TestDataRootAmong: a container's files, which dockerd has open while it commits them, are
// below its data root.
func TestDataRootAmong(t *testing.T) {
	const inContainer = "/data/overlay2/ab/diff/x"
	for _, test := range []struct {
		links []string
		want  string
	}{
		{[]string{"/dev/null", "socket:[1]"}, ""},
		{[]string{"/data/volumes/metadata.db", inContainer + "/buildkit/cache.db"}, "/data"},
		{[]string{inContainer + "/volumes/metadata.db", "/data/buildkit/containerdmeta.db"}, "/data"},
		{[]string{"/data/1.1/network/files/local-kv.db", "/data/1.1/overlay2/x/buildkit/cache.db"}, "/data/1.1"},
	} {
		if got := dataRootAmong(test.links); got != test.want {
			t.Errorf("%q: %q, want %q", test.links, got, test.want)
		}
	}
}
