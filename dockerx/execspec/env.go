package execspec

import (
	"slices"
	"strconv"
	"strings"

	"dx/dockerx/host"
)

// defaultPath is moby's (oci/defaults.go, DefaultPathEnv).
const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// variable is an environment entry and where it came from.
type variable struct {
	entry  string // NAME=VALUE
	origin string
}

func (v variable) name() string {
	name, _, _ := strings.Cut(v.entry, "=")
	return name
}

// environment is the process's, but for HOME. Of a container it mirrors moby
// container/env.go and container.go (CreateDaemonEnvironment), and what runc makes of
// the list. Of any other process it is docker's default, and nothing of its own: see
// SharedMountError.
func environment(f *Facts, o Options) []variable {
	vars := firstEnvironment(f, o)
	vars = override(vars, o.Env, "-e")
	if sinceRunc13(f.State) {
		return keepLast(vars)
	}
	return keepFirstPlace(vars)
}

// firstEnvironment is what -e is laid over.
func firstEnvironment(f *Facts, o Options) []variable {
	switch {
	case f.Kind == Contained && f.Manager == "podman":
		return recordedEnvironment(f)
	case f.Manager == "lxc":
		return []variable{{defaultPath, "as lxc-attach --clear-env"}, {"container=lxc", "as lxc-attach"}}
	}
	vars := daemonEnvironment(f, o.Tty)
	if c := configOf(f); c != nil {
		vars = override(vars, c.Env, c.Origin+" Config.Env")
	}
	return vars
}

func (b *builder) environment() error {
	vars := environment(b.f, b.o)
	b.out.Process.Env = entries(vars)
	for _, v := range vars {
		b.from("Env["+v.name()+"]", "%s", v.origin)
	}
	return nil
}

// daemonEnvironment is what dockerd puts before the configured variables. The bundle of
// another engine's container has all that it was made with: runc adds nothing to that.
func daemonEnvironment(f *Facts, tty bool) []variable {
	var vars []variable
	c := configOf(f)
	if f.Docker != nil || !f.hasBundle() {
		vars = append(vars, variable{defaultPath, dockerDefault})
	}
	if c != nil && (f.Docker != nil || f.Inner != nil) {
		vars = append(vars, variable{"HOSTNAME=" + c.Hostname, c.Origin + " Config.Hostname"})
	}
	if tty {
		vars = append(vars, variable{"TERM=xterm", dockerDefault + " with -t"})
	}
	if c == nil || f.Spec == nil {
		return vars
	}
	for _, entry := range linkVariables(c, f.Spec.Process.Env) {
		vars = append(vars, variable{entry, configJSON("process.env") + " (legacy link)"})
	}
	return vars
}

// linkVariables are those that legacy links gave the container at its start: in the
// environment with which it was started, the bundle's, they lie between the daemon's
// own variables and the first that the configuration appended. (dockerd computes them
// anew, which gives another address if the linked container has been restarted.)
func linkVariables(c *config, started []string) []string {
	if !c.Linked {
		return nil
	}
	base := 2 // PATH, HOSTNAME
	if c.Tty {
		base = 3 // TERM
	}
	for n := base; n <= len(started); n++ {
		vars := make([]variable, n)
		for i := range vars {
			vars[i].entry = started[i]
		}
		if slices.Equal(entries(override(vars, c.Env, "")), started) {
			return started[base:n]
		}
	}
	return nil
}

// override lays overrides over vars as moby's ReplaceOrAppendEnvValues does: an
// entry that is there is replaced in its place, another is appended, a bare name
// removes. Names that the overrides themselves bring are not looked for, so that
// a name given twice is appended twice.
func override(vars []variable, overrides []string, origin string) []variable {
	place := map[string]int{}
	for i, v := range vars {
		place[v.name()] = i
	}
	vars = slices.Clone(vars)
	for _, o := range overrides {
		name, _, set := strings.Cut(o, "=")
		i, known := place[name]
		switch {
		case known && set:
			vars[i] = variable{o, origin}
		case known:
			vars[i] = variable{}
		case set:
			vars = append(vars, variable{o, origin})
		}
	}
	return slices.DeleteFunc(vars, func(v variable) bool { return v.entry == "" })
}

func entries(vars []variable) []string {
	out := make([]string, len(vars))
	for i, v := range vars {
		out[i] = v.entry
	}
	return out
}

// keepFirstPlace keeps a name's last value at its first place, as os.Setenv in
// a loop does: runc to 1.2 (libcontainer/init_linux.go, populateProcessEnvironment).
func keepFirstPlace(vars []variable) []variable {
	place := map[string]int{}
	var out []variable
	for _, v := range vars {
		if i, ok := place[v.name()]; ok {
			out[i] = v
			continue
		}
		place[v.name()] = len(out)
		out = append(out, v)
	}
	return out
}

// keepLast keeps a name's last entry where it stands: runc from 1.3
// (libcontainer/env.go, prepareEnv).
func keepLast(vars []variable) []variable {
	last := map[string]int{}
	for i, v := range vars {
		last[v.name()] = i
	}
	var out []variable
	for i, v := range vars {
		if last[v.name()] == i {
			out = append(out, v)
		}
	}
	return out
}

// sinceRunc13 reports whether runc is 1.3 or newer, by the specification version that
// it writes into its state: 1.3 was built with 1.2.1, 1.2 with 1.2.0, 1.1 with
// 1.0.2-dev.
func sinceRunc13(s *host.State) bool {
	return s != nil && !olderThan(s.SpecVersion, [3]int{1, 2, 1})
}

// olderThan compares "1.2.0" and the like; what is no version is old.
func olderThan(version string, than [3]int) bool {
	version, _, _ = strings.Cut(version, "-")
	parts := strings.Split(version, ".")
	if len(parts) != 3 {
		return true
	}
	for i, p := range parts {
		n, err := strconv.Atoi(p)
		if err != nil {
			return true
		}
		if n != than[i] {
			return n < than[i]
		}
	}
	return false
}

// hasHome reports whether HOME is set, and not to nothing.
func hasHome(env []string) bool {
	i := slices.IndexFunc(env, isHome)
	return i >= 0 && env[i] != "HOME="
}

func isHome(entry string) bool { return strings.HasPrefix(entry, "HOME=") }

// home adds HOME where it is unset or empty, as runc does: in its place to 1.2,
// at the end from 1.3.
func (b *builder) home() error {
	if b.f.Manager == "lxc" {
		return nil
	}
	env := b.out.Process.Env
	if hasHome(env) {
		return nil
	}
	dir, origin := homeOf(b.f, b.out.Process.User.UID)
	entry := "HOME=" + dir
	switch i := slices.IndexFunc(env, isHome); {
	case i < 0:
		env = append(env, entry)
	case sinceRunc13(b.f.State):
		env = append(slices.Delete(env, i, i+1), entry)
	default:
		env[i] = entry
	}
	b.out.Process.Env = env
	b.from("Env[HOME]", "%s", origin)
	return nil
}
