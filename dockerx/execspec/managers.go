package execspec

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Other engines' execs
//
// `ctr task exec`, `crictl exec` and CRI-O run a command with the process that the bundle's
// config.json describes: its environment, user, directory and rights, and nothing beside.
// Podman takes its own record of the container, which says nearly the same: what it adds
// to the bundle at each start is told by its place.

// recordedEnvironment is Podman's, from the bundle.
func recordedEnvironment(f *Facts) []variable {
	env := withoutAdded(f.Spec.Process.Env, f.Spec.Hostname)
	vars := make([]variable, len(env))
	for i, entry := range env {
		vars[i] = variable{entry, configJSON("process.env")}
	}
	return vars
}

// withoutAdded leaves out what Podman adds at each start and not for an exec (libpod
// container_internal_common.go, generateSpec): HOME, unless the container has one, and
// behind it HOSTNAME, unless --hostname was given.
func withoutAdded(env []string, hostname string) []string {
	env = slices.Clone(env)
	if n := len(env); n > 0 && env[n-1] == "HOSTNAME="+hostname {
		env = env[:n-1]
	}
	if n := len(env); n > 0 && isHome(env[n-1]) {
		env = env[:n-1]
	}
	return env
}

// withoutPrimary are a user's groups as Podman sets them: those of /etc/group that list
// him, and not the primary one (libpod oci_conmon_exec_common.go, prepareProcessExec).
func withoutPrimary(u specs.User) []uint32 {
	return slices.DeleteFunc(slices.Clone(u.AdditionalGids), func(g uint32) bool { return g == u.GID })
}

// foreignLookup is how the container's engine finds the user of -u. nerdctl finds groups as
// dockerd does that keeps containers in containerd.
func foreignLookup(f *Facts) lookup {
	switch _, nerdctl := f.Spec.Annotations["nerdctl/name"]; {
	case f.Manager == "podman":
		return lookupUser
	case nerdctl:
		return lookupUserSnapshotter
	}
	return lookupUserAlone
}

// lookupUserAlone mirrors containerd's oci.WithUser: the primary group, and no other.
func lookupUserAlone(a Accounts, name string, groupAdd []string) (specs.User, error) {
	u, err := lookupUser(a, name, groupAdd)
	u.AdditionalGids = []uint32{u.GID}
	return u, err
}

// podmanCapabilities: root has all of the bounding set. The container's own user has, also
// as ambient ones, what the container was given (libpod container_exec_linux.go,
// setProcessCapabilitiesExec).
func (b *builder) podmanCapabilities() {
	c := b.out.Process.Capabilities
	given := c.Effective
	c.Inheritable = nil
	switch {
	case b.out.Process.User.UID == 0:
		c.Effective, c.Permitted, c.Ambient = c.Bounding, c.Bounding, nil
	case b.o.User == "":
		c.Inheritable, c.Permitted, c.Ambient = given, given, given
	}
}

// recordedUmask is the bundle's for crun; runc leaves what its caller has, which is conmon or
// a shell.
func (b *builder) recordedUmask() error {
	u := b.f.Spec.Process.User.Umask
	origin := configJSON("process.user.umask")
	if u == nil || b.f.State == nil || !b.f.State.Crun {
		const usual = 0o022
		mask := uint32(usual)
		u, origin = &mask, "the usual one, which who calls the runtime has"
	}
	b.out.Process.User.Umask = u
	b.from("Umask", "%s", origin)
	return nil
}
