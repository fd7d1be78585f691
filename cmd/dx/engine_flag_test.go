package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"dx/dockerx"
)

// TestEngineFlag: what each engine is called by, and what is offered for it.
func TestEngineFlag(t *testing.T) {
	list := []dockerx.Listed{
		{Name: "web", Engine: "unix:///var/run/docker.sock"}, {Name: "old", Engine: "docker:/var/lib/docker"},
		{Name: "podman:db", Engine: "podman:/srv/store"}, {Name: "k8s:prod/nginx/web", Pod: "nginx", Engine: "containerd:k8s.io"},
		{Name: "k8s:prod/nginx/side", Pod: "nginx", Engine: "cri-o"}, {Name: "lx1", Engine: "lxc"},
	}
	for engines, want := range map[string]string{
		"": "web old podman:db k8s:prod/nginx/web k8s:prod/nginx/side lx1", "docker": "web old", "k8s": "k8s:prod/nginx/web k8s:prod/nginx/side",
		"podman": "podman:db", "podman:/srv/store": "podman:db", "containerd": "k8s:prod/nginx/web", "cri-o lxc": "k8s:prod/nginx/side lx1", "nosuch": "",
	} {
		var e engineFlag
		for _, name := range strings.Fields(engines) {
			if err := e.Set(name); err != nil {
				t.Fatal(err)
			}
		}
		var got []string
		for _, l := range e.of(append([]dockerx.Listed{}, list...)) {
			got = append(got, l.Name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("--engine %s: %q, want %s", engines, got, want)
		}
	}
	want := []string{"containerd", "containerd:k8s.io", "cri-o", "docker", "k8s", "lxc", "podman", "podman:/srv/store"}
	if diff := cmp.Diff(want, engineNames(list)); diff != "" {
		t.Errorf("offered (-want +got):\n%s", diff)
	}
}
