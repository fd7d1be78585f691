package dockerx

import (
	"fmt"
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
	processOnly
	hostOnly
)

// Reference is what a user calls a container, parsed:
//
//	NAME, /NAME, ID, PREFIX     of the engine that is asked, else of another one
//	docker:NAME                 of a dockerd's, whichever
//	containerd:NAMESPACE/ID     of that namespace of containerd's, by ID or nerdctl's name
//	pid:N                       any process
//	host:, host                 the host's init
type Reference struct {
	Text string // as typed, but for slashes at its end

	kind      referenceKind
	name      string // or ID, or prefix
	namespace string // containerd's
	pid       int
}

// notBuilt are managers of containers that dx cannot find yet.
var notBuilt = map[string]string{
	"podman": "podman's containers", "k8s": "Kubernetes' pods by name", "lxc": "LXC's containers",
	"machine": "machined's containers", "runc": "what runc alone has started",
}

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
	switch what := notBuilt[scheme]; {
	case what != "":
		return wrong("dx does not know %s yet; pid:N of a process in one works", what)
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
		ref.name = name // no container can be called so: see validName
	}
	return ref, nil
}

// Qualified reports whether the reference says by itself whose container it means.
func (ref Reference) Qualified() bool { return ref.kind != anyEngine }

// mayMean reports whether a container of that engine can be meant.
func (ref Reference) mayMean(f *host.Found) bool {
	switch ref.kind {
	case anyEngine:
		return true
	case dockerOnly:
		return f.Engine().Docker
	case containerdOnly:
		return f.Namespace == ref.namespace
	}
	return false
}

// ranks are the ways to be called by a reference, in Docker's order of precedence (moby
// daemon/container.go, GetContainer): the whole ID, the name, a prefix of the ID. Only IDs
// as Docker makes them have prefixes: containerd's are names that a user chose.
func (ref Reference) ranks() []func(*host.Found) bool {
	name := strings.TrimPrefix(ref.name, "/")
	return []func(*host.Found) bool{
		func(f *host.Found) bool { return f.ID == ref.name && docker.IsID(ref.name) },
		func(f *host.Found) bool {
			// A nerdctl name does not keep the ID, a text, from being one.
			return f.Name() == name || f.ID == name && !docker.IsID(f.ID)
		},
		func(f *host.Found) bool {
			return ref.name != "" && docker.IsID(f.ID) && strings.HasPrefix(f.ID, ref.name)
		},
	}
}
