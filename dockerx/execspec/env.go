package execspec

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
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

// environment mirrors moby container/env.go and container.go
// (CreateDaemonEnvironment), and what runc makes of the list.
func (b *builder) environment() error {
	vars := b.daemonEnvironment(b.o.Tty)
	vars = override(vars, b.config.Env, b.config.Origin+" Config.Env")
	vars = override(vars, b.o.Env, "-e")
	b.setEnv(vars)
	return nil
}

// daemonEnvironment is what dockerd puts before the configured variables.
func (b *builder) daemonEnvironment(tty bool) []variable {
	vars := []variable{
		{defaultPath, dockerDefault},
		{"HOSTNAME=" + b.config.Hostname, b.config.Origin + " Config.Hostname"},
	}
	if tty {
		vars = append(vars, variable{"TERM=xterm", dockerDefault + " with -t"})
	}
	for _, entry := range b.linkVariables() {
		vars = append(vars, variable{entry, b.configJSON("process.env") + " (legacy link)"})
	}
	return vars
}

// linkVariables are those that legacy links gave the container at its start:
// they stand in the bundle's environment between the daemon's own variables and
// the first that the configuration appended. (dockerd computes them anew, which
// gives another address if the linked container has been restarted.)
func (b *builder) linkVariables() []string {
	if !b.config.Linked || b.spec == nil {
		return nil
	}
	started := b.spec.Process.Env
	base := 2 // PATH, HOSTNAME
	if b.config.Tty {
		base = 3 // TERM
	}
	for n := base; n <= len(started); n++ {
		vars := make([]variable, n)
		for i := range vars {
			vars[i].entry = started[i]
		}
		if slices.Equal(entries(override(vars, b.config.Env, "")), started) {
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

// setEnv removes duplicates as the runtime does and stores the result.
func (b *builder) setEnv(vars []variable) {
	if b.sinceRunc13() {
		vars = keepLast(vars)
	} else {
		vars = keepFirstPlace(vars)
	}
	b.out.Process.Env = entries(vars)
	for _, v := range vars {
		b.from("Env["+v.name()+"]", "%s", v.origin)
	}
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

// sinceRunc13 tells runc's generation by the specification version that it writes
// into its state: 1.3 was built with 1.2.1, 1.2 with 1.2.0, 1.1 with 1.0.2-dev.
func (b *builder) sinceRunc13() bool {
	return b.state != nil && !olderThan(b.state.SpecVersion, [3]int{1, 2, 1})
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

// home adds HOME where it is unset or empty, as runc does: in its place to 1.2,
// at the end from 1.3.
func (b *builder) home() error {
	env := b.out.Process.Env
	i := slices.IndexFunc(env, func(e string) bool { return strings.HasPrefix(e, "HOME=") })
	if i >= 0 && env[i] != "HOME=" {
		return nil
	}
	dir, origin, err := b.homeOf(b.out.Process.User.UID)
	if err != nil {
		return err
	}
	entry := "HOME=" + dir
	switch {
	case i < 0:
		env = append(env, entry)
	case b.sinceRunc13():
		env = append(slices.Delete(env, i, i+1), entry)
	default:
		env[i] = entry
	}
	b.out.Process.Env = env
	b.from("Env[HOME]", "%s", origin)
	return nil
}

func (b *builder) defaults() []variable {
	vars := []variable{{defaultPath, dockerDefault}}
	if b.o.Tty {
		vars = append(vars, variable{"TERM=xterm", fmt.Sprintf("%s with -t", dockerDefault)})
	}
	return vars
}
