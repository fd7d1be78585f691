package execspec

import (
	"slices"

	"dx/nsops"
)

// namespaces are those that the bundle lists, and no others that init may have
// made since: runc joins no more. Where the shim itself lives in another
// namespace than dx (Docker in Docker), that one is needed as well.
func (b *builder) namespaces() error {
	elsewhere := b.f.Shim.Namespaces
	if b.f.ByNumber {
		elsewhere = b.f.Init.Namespaces // it may have left its container's namespaces
	}
	others := elsewhere.DifferentFromSelf(b.f.Self.Namespaces)
	if b.f.Owner != 0 {
		others = append(others, nsops.User)
		b.out.Realm = true
	}
	b.listedNamespaces(others)
	b.from("Namespaces", "%s", configJSON("linux.namespaces"))
	return nil
}

// listedNamespaces are those that the container was made with, and others.
func (b *builder) listedNamespaces(others []nsops.Type) {
	want := map[nsops.Type]bool{}
	for _, ns := range b.f.Spec.Linux.Namespaces {
		want[nsops.OCI[ns.Type]] = true
	}
	for _, t := range nsops.Types {
		if want[t] || slices.Contains(others, t) {
			b.out.Namespaces = append(b.out.Namespaces, t)
		}
	}
}

// ownNamespaces are all of the process that differ from dx's.
func (b *builder) ownNamespaces() error {
	b.from("Namespaces", "%s", b.procFile("ns"))
	b.out.Namespaces = b.f.Init.Namespaces.DifferentFromSelf(b.f.Self.Namespaces)
	return nil
}

// exactNamespaces is ownNamespaces of a process that may change them at will.
func (b *builder) exactNamespaces() error {
	b.out.Exactly = b.f.Init.Namespaces.Own
	return b.ownNamespaces()
}
