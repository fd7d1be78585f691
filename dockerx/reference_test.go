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
		"podman:web":             {kind: engineOnly, scheme: "podman", name: "web"}, "lxc:lx1": {kind: engineOnly, scheme: "lxc", name: "lx1"},
		"machine:m": {kind: engineOnly, scheme: "machine", name: "m"}, "runc:a-b": {kind: engineOnly, scheme: "runc", name: "a-b"}, "podman:": {name: "podman:"},
		"k8s:prod/web-1": {kind: podOnly, namespace: "prod", name: "web-1"}, "k8s:prod/web-1/app": {kind: podOnly, namespace: "prod", name: "web-1", inPod: "app"},
		"podman:al/web": {kind: engineOnly, scheme: "podman", owner: "al", name: "web"}, "docker:1000/web": {kind: engineOnly, scheme: "docker", owner: "1000", name: "web"},
		"docker:/web": {kind: dockerOnly, name: "/web"}, "lxc:a/b": {kind: engineOnly, scheme: "lxc", name: "a/b"},
		"x:y": {name: "x:y"}, "host:x": {name: "host:x"}, "docker:": {name: "docker:"},
	} {
		want.Text = text
		if got, err := ParseReference(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"pid:x": "not a process number", "pid:0": "not a process number", "pid:-1": "not a process number", "pid:99999999999": "not a process number",
		"containerd:web": "NAMESPACE/ID", "containerd:/web": "NAMESPACE/ID", "containerd:x/": "NAMESPACE/ID",
		"k8s:pod": "k8s:NAMESPACE/POD", "k8s:a/": "k8s:NAMESPACE/POD", "k8s:/b": "k8s:NAMESPACE/POD", "k8s:a/b/": "k8s:NAMESPACE/POD", "k8s:a/b/c/d": "k8s:NAMESPACE/POD",
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
