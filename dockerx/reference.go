package dockerx

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"dx/dockerx/docker"
	"dx/dockerx/host"
)

// referenceKind is whose container a reference may mean.
type referenceKind int

const (
	anyEngine referenceKind = iota
	dockerOnly
	containerdOnly
	podOnly
	composeOnly
	engineOnly // of the managers whose references are SCHEME:NAME
	processOnly
	hostOnly
)

// Reference is what a user calls a container, parsed:
//
//	NAME, /NAME, ID, PREFIX     of the engine that is asked, else of another one
//	docker:NAME                 of a dockerd's, whichever
//	containerd:NAMESPACE/ID     of that namespace of containerd's, by ID or nerdctl's name
//	k8s:NAMESPACE/POD[/CONTAINER]  of Kubernetes', whoever runs it
//	compose:PROJECT/SERVICE[/NUMBER]  of a service of Docker Compose's, by its labels
//	podman:USER/NAME, docker:USER/NAME  of a plain user's rootless engine
//	podman:NAME, lxc:NAME, machine:NAME, runc:NAME, cri-o:NAME   of that manager's
//	pid:N                       any process
//	host:, host                 the host's init
type Reference struct {
	Text string // as typed, but for slashes at its end

	kind      referenceKind
	name      string // or ID, or prefix
	namespace string // containerd's, Kubernetes'; Compose's project
	scheme    string // of engineOnly
	owner     string // the plain user whose engine is meant, by name or number; empty: not a foreign one's
	inPod     string // the container in a pod, or of a service; empty: the only one
	pid       int
}

// schemes are those of managers whose containers have names, or IDs, by themselves.
var schemes = []string{"podman", "cri-o", "lxc", "machine", "runc"}

// userSchemes are those of engines that plain users may have.
var userSchemes = []string{"podman", "docker"}

// ReferenceError says that a reference means nothing.
type ReferenceError struct{ Ref, Reason string }

func (e *ReferenceError) Error() string { return fmt.Sprintf("reference %q: %s", e.Ref, e.Reason) }

// ParseReference reads a reference. A name of Docker's has no colon, so that no container
// can be called like a qualified one.
func ParseReference(text string) (Reference, error) {
	// Docker's client puts the name into a path, of which the engine cleans the end.
	name := strings.TrimRight(text, "/")
	ref := Reference{Text: name, name: name}
	scheme, rest, qualified := strings.Cut(text, ":")
	if !qualified {
		return ref, nil
	}
	wrong := func(reason string, args ...any) (Reference, error) {
		return ref, &ReferenceError{Ref: text, Reason: fmt.Sprintf(reason, args...)}
	}
	ref.name = rest
	owner, ofOwner, owned := strings.Cut(rest, "/")
	switch {
	case slices.Contains(userSchemes, scheme) && owned && owner != "" && ofOwner != "":
		ref.kind, ref.scheme, ref.owner, ref.name = engineOnly, scheme, owner, ofOwner
	case slices.Contains(schemes, scheme) && rest != "":
		ref.kind, ref.scheme = engineOnly, scheme
	case scheme == "k8s":
		parts := strings.Split(rest, "/")
		if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
			return wrong("want k8s:NAMESPACE/POD[/CONTAINER]")
		}
		ref.kind, ref.namespace, ref.name = podOnly, parts[0], parts[1]
		if len(parts) == 3 {
			ref.inPod = parts[2]
		}
	case scheme == "compose":
		parts := strings.Split(rest, "/")
		if len(parts) < 2 || len(parts) > 3 || slices.Contains(parts, "") {
			return wrong("want compose:PROJECT/SERVICE[/NUMBER]")
		}
		ref.kind, ref.namespace, ref.name = composeOnly, parts[0], parts[1]
		if len(parts) == 3 {
			ref.inPod = parts[2]
		}
	case scheme == "host" && rest == "":
		ref.kind = hostOnly
	case scheme == "pid":
		pid, err := strconv.ParseUint(rest, 10, 31)
		if err != nil || pid == 0 {
			return wrong("%q is not a process number", rest)
		}
		ref.kind, ref.pid = processOnly, int(pid)
	case scheme == "docker" && rest != "":
		ref.kind = dockerOnly
	case scheme == "containerd":
		namespace, name, ok := strings.Cut(rest, "/")
		if !ok || namespace == "" || name == "" {
			return wrong("want containerd:NAMESPACE/ID")
		}
		ref.kind, ref.namespace, ref.name = containerdOnly, namespace, name
	default:
		ref.name = name // no container can be called so: see docker.IsName
	}
	return ref, nil
}

// Qualified reports whether the reference says by itself whose container it means.
func (ref Reference) Qualified() bool { return ref.kind != anyEngine }

// mayMean reports whether a container of that engine can be meant.
func (ref Reference) mayMean(f *host.Found) bool {
	e := f.Engine()
	if ref.owner != "" && !e.OwnedBy(ref.owner) {
		return false
	}
	switch ref.kind {
	case anyEngine:
		return true
	case dockerOnly:
		return e.Docker || e.Manager == "docker"
	case containerdOnly:
		return f.Namespace == ref.namespace
	case composeOnly:
		return ref.means(labelsOf(f))
	case podOnly:
		p := f.Pod()
		return p.Namespace == ref.namespace && (ref.inPod == "" && !p.Sandbox || ref.inPod == p.Container && !p.Sandbox)
	case engineOnly:
		m := e.Manager
		return m == ref.scheme || m == "buildah" && ref.scheme == "runc"
	}
	return false
}

// ranks are the ways to be called by a reference, in Docker's order of precedence (moby
// daemon/container.go, GetContainer): the whole ID, the name, a prefix of the ID. Only IDs
// as Docker makes them have prefixes: containerd's are names that a user chose.
func (ref Reference) ranks() []func(*host.Found) bool {
	name := strings.TrimPrefix(ref.name, "/")
	if ref.kind == composeOnly {
		return []func(*host.Found) bool{isRunning, func(*host.Found) bool { return true }}
	}
	if ref.kind == podOnly {
		return []func(*host.Found) bool{
			func(f *host.Found) bool { return f.Pod().Name == ref.name },
			func(f *host.Found) bool { return strings.HasPrefix(f.Pod().Name, ref.name) },
		}
	}
	return []func(*host.Found) bool{
		func(f *host.Found) bool { return f.ID == ref.name && docker.IsID(ref.name) },
		func(f *host.Found) bool {
			// A nerdctl name does not keep the ID, a text, from being one.
			return f.Name() == name || f.ID == name && !docker.IsID(f.ID) || ref.kind == anyEngine && inPod(f, name)
		},
		func(f *host.Found) bool {
			return ref.name != "" && docker.IsID(f.ID) && strings.HasPrefix(f.ID, ref.name)
		},
	}
}

// inPod reports whether a container of Kubernetes' is called so by itself, or its pod.
func inPod(f *host.Found, name string) bool {
	p := f.Pod()
	return !p.Sandbox && p.Name != "" && (p.Container == name || p.Name == name)
}
