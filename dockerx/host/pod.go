package host

import (
	"strings"

	"dx/dockerx/docker"
)

// Pod is what Kubernetes calls a container.
type Pod struct {
	Namespace, Name string
	Container       string // empty for a sandbox
	Sandbox         bool   // it holds the pod's namespaces, and runs nothing of the user's
}

// String is what follows "k8s:" in a reference.
func (p Pod) String() string {
	if p.Container == "" {
		return p.Namespace + "/" + p.Name
	}
	return p.Namespace + "/" + p.Name + "/" + p.Container
}

// annotations of a bundle, by who writes them: containerd's CRI plugin
// (pkg/cri/annotations), CRI-O (cri-o/pkg/annotations and the kubelet's labels), Podman
// (libpod/annotations), nerdctl (pkg/labels).
const (
	criNamespace  = "k8s.io" // of containerd's, in which its CRI plugin keeps pods
	criPrefix     = "io.kubernetes.cri."
	kubeletPrefix = "io.kubernetes."
	crioPrefix    = "io.kubernetes.cri-o."
)

// identify tells from the annotations of a bundle whose container it is and what it is
// called. manager is empty where they do not say.
func identify(a map[string]string) (manager, name string, pod Pod) {
	switch kind := a[criPrefix+"container-type"]; {
	case kind != "":
		pod = Pod{
			Namespace: a[criPrefix+"sandbox-namespace"], Name: a[criPrefix+"sandbox-name"],
			Container: a[criPrefix+"container-name"], Sandbox: kind == "sandbox",
		}
		return "", "", known(pod)
	case a["io.container.manager"] == "cri-o":
		pod = Pod{
			Namespace: a[kubeletPrefix+"pod.namespace"], Name: a[kubeletPrefix+"pod.name"],
			Container: a[kubeletPrefix+"container.name"], Sandbox: a[crioPrefix+"ContainerType"] == "sandbox",
		}
		if pod.Sandbox {
			pod.Container = ""
		}
		name := a[crioPrefix+"Name"]
		if pod.Name == "" { // they are the kubelet's labels, and crictl gives none
			pod, _ = parseK8sName(name)
		}
		return "cri-o", name, known(pod)
	case a["io.container.manager"] == "libpod":
		return "podman", "", Pod{}
	}
	if name = a["nerdctl/name"]; !docker.IsName(name) { // which nerdctl gives
		name = ""
	}
	return "", name, Pod{}
}

// known is a pod whose names can be part of a reference, as Kubernetes' are: anybody who may
// make a container may annotate it.
func known(p Pod) Pod {
	for _, part := range []string{p.Namespace, p.Name} {
		if part == "" || !isDNS(part) {
			return Pod{}
		}
	}
	if p.Container == "" && !p.Sandbox || p.Container != "" && !isDNS(p.Container) {
		return Pod{}
	}
	return p
}

// isDNS reports whether a text is a name of Kubernetes' (RFC 1123).
func isDNS(s string) bool {
	return s != "" && len(s) <= 253 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-.") == ""
}
