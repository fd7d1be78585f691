package dockerx

import (
	"strings"
	"testing"
)

// TestParseReference: what each form means, and what means nothing.
func TestParseReference(t *testing.T) {
	for text, want := range map[string]Reference{
		"web": {name: "web"}, "/web": {name: "/web"}, "": {}, "host": {name: "host"}, "Host:": {name: "Host:"},
		"host:": {kind: hostOnly}, "pid:7": {kind: processOnly, name: "7", pid: 7},
		"docker:web": {kind: dockerOnly, name: "web"}, "docker:host": {kind: dockerOnly, name: "host"},
		"containerd:default/web": {kind: containerdOnly, namespace: "default", name: "web"},
		"x:y":                    {name: "x:y"}, "host:x": {name: "host:x"}, "docker:": {name: "docker:"},
	} {
		want.Text = text
		if got, err := ParseReference(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"pid:x": "not a process number", "pid:0": "not a process number", "pid:-1": "not a process number", "pid:99999999999": "not a process number",
		"containerd:web": "NAMESPACE/ID", "containerd:/web": "NAMESPACE/ID", "containerd:x/": "NAMESPACE/ID",
		"podman:web": "podman's containers yet", "k8s:a/b": "yet", "lxc:a": "yet", "machine:a": "yet", "runc:a": "yet",
	} {
		if _, err := ParseReference(text); !isA[*ReferenceError](err) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v, want a refusal that names it and says %q", text, err, want)
		}
	}
}

func FuzzParseReference(f *testing.F) {
	for _, seed := range []string{"web", "containerd:a/b", "pid:1", "host:", "docker:x", "podman:x", "web/", "/"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := ParseReference(text)
		if err == nil && ref.Text != strings.TrimRight(text, "/") {
			t.Errorf("%q is called %q", text, ref.Text)
		}
		if err == nil && !strings.Contains(text, ":") && ref.Qualified() {
			t.Errorf("%q has no colon and says whose container it means", text)
		}
	})
}
