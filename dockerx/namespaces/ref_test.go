package namespaces

import (
	"strings"
	"testing"

	"dx/nsops"
	"dx/nsops/census"
)

func TestSpaceRefs(t *testing.T) {
	for ref, want := range map[string]bool{
		"web": false, "/web": false, "web_1.a-b": false, "pid:7": false, "host": false, "": false,
		"inode:7": true, "inode:": true, "net:[7]": true, "/proc/7/ns/net": true, "./netns": true, "a/b": true, "//x": true, "a//b": false, "/a//b": true, "./a//b": true, "../a//b": true,
	} {
		if got := IsRef(ref); got != want {
			t.Errorf("%q names a namespace: %v, want %v", ref, got, want)
		}
	}
	for ref, want := range map[string]string{
		"inode:x": "not an inode number", "inode:": "not an inode number", "inode:-1": "not an inode number", "inode:0": "not an inode number",
		"inode:x:1": "not a device number", "inode:0:1": "not a device number", "/dev/null/": "not a directory", "/etc/../dev/null": "not a namespace",
	} {
		if _, err := OpenRef(ref); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", ref, err, want)
		}
	}
	r, err := OpenRef("inode:4:7")
	if err != nil {
		t.Fatal(err)
	}
	for device, want := range map[uint64]bool{4: true, 5: false} {
		if r.Means(&census.Namespace{ID: nsops.ID{Device: device, Inode: 7}}) != want {
			t.Errorf("device %d: %v", device, !want)
		}
	}
}
