package dockerx

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"dx/dockerx/docker"
)

// Filters are what docker ps filters by: values by keys (moby, daemon/list.go); and by
// engine. Of one key any value has to hold, of labels all, and that for every key.
type Filters map[string][]string

// filterKeys are those that docker ps knows, and engine. Isolation means nothing on Linux.
var filterKeys = []string{
	"ancestor", "before", "engine", "exited", "expose", "health", "id", "is-task", "isolation", "label",
	"name", "network", "publish", "since", "status", "volume",
}

// FilterKeys returns the keys that there are.
func FilterKeys() []string { return slices.Clone(filterKeys) }

// states are those of a container, in docker's words.
var states = []string{"created", "dead", "exited", "paused", "removing", "restarting", "running"}

// FilterError is a filter that docker does not have, in its words.
type FilterError struct{ text string }

func (e *FilterError) Error() string { return e.text }

// Check returns a *FilterError for what docker refuses.
func (f Filters) Check() error {
	for key, values := range f {
		if !slices.Contains(filterKeys, key) {
			return &FilterError{"invalid filter '" + key + "'"}
		}
		for _, v := range values {
			if text := refused(key, v); text != "" {
				return &FilterError{text}
			}
		}
	}
	return nil
}

// refused is what dockerd says of a value that it does not take; empty: it does.
func refused(key, value string) string {
	switch key {
	case "status":
		if !slices.Contains(states, value) {
			return "invalid filter 'status=" + value + "'"
		}
	case "health":
		if !slices.Contains([]string{"none", "starting", "healthy", "unhealthy"}, value) {
			return "unrecognized filter value for health: " + value
		}
	case "exited":
		if _, err := strconv.Atoi(value); err != nil {
			return err.Error()
		}
	case "is-task":
		if !slices.Contains([]string{"0", "1", "true", "false"}, value) {
			return fmt.Sprintf("invalid filter 'is-task=[%s]'", value)
		}
	case "publish", "expose":
		if strings.Contains(value, ":") {
			return fmt.Sprintf("filter for '%s' should not contain ':': %s", key, value)
		}
		if _, err := portsIn(value); err != nil {
			return err.Error()
		}
	}
	return ""
}

// portsIn are the ports of a filter: 80, 80/udp, 80-90/tcp.
func portsIn(value string) (func(port string) bool, error) {
	text, proto, ok := strings.Cut(value, "/")
	if !ok {
		proto = "tcp"
	}
	first, last, ok := strings.Cut(text, "-")
	if !ok {
		last = first
	}
	from, errFrom := strconv.ParseUint(first, 10, 16)
	to, errTo := strconv.ParseUint(last, 10, 16)
	if errFrom != nil || errTo != nil || to < from {
		return nil, fmt.Errorf("invalid port in filter: %s", value)
	}
	return func(port string) bool {
		number, its, _ := strings.Cut(port, "/")
		n, err := strconv.ParseUint(number, 10, 16)
		return err == nil && n >= from && n <= to && its == proto
	}, nil
}

// Select is List, of what the filters leave. As in docker, a status that is asked for is
// shown without all too, and so are the newest containers, if last is not 0.
func (r *Resolver) Select(ctx context.Context, all bool, f Filters, last int) ([]Listed, error) {
	if err := f.Check(); err != nil {
		return nil, err
	}
	whole := all || len(f["status"]) > 0 || last > 0 || len(f["before"])+len(f["since"]) > 0
	list, errList := r.List(ctx, whole)
	if list == nil && errList != nil {
		return nil, errList
	}
	list, err := f.between(list)
	if err != nil && slices.ContainsFunc(list, ofEngine) {
		return nil, r.said(err)
	}
	if err != nil {
		return nil, err
	}
	told, err := r.askSelected(ctx, list, f)
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(l Listed) bool {
		shown := all || len(f["status"]) > 0 || last > 0 || runs(l.State) && !l.Sandbox
		if l.Source == SourceEngine {
			return !shown || !f.match(l, engineNeeds) || told != nil && !told[l.ID]
		}
		return !shown || !f.match(l, nil)
	})
	if last > 0 && len(list) > last {
		list = list[:last]
	}
	return list, errList
}

// engineNeeds are the filters for which the engine knows more of its containers than its
// list tells.
var engineNeeds = []string{"ancestor", "exited", "health", "is-task"}

func ofEngine(l Listed) bool { return l.Source == SourceEngine }

// askSelected asks for the IDs of those of the engine's containers for which such filters
// hold; nil: all do.
func (r *Resolver) askSelected(ctx context.Context, list []Listed, f Filters) (map[string]bool, error) {
	needed := Filters{}
	for _, key := range engineNeeds {
		if len(f[key]) > 0 {
			needed[key] = f[key]
		}
	}
	if len(needed) == 0 || !slices.ContainsFunc(list, ofEngine) {
		return nil, nil
	}
	selected, err := r.engine.Select(ctx, needed)
	if err != nil {
		return nil, err
	}
	ids := map[string]bool{}
	for _, s := range selected {
		ids[s.ID] = true
	}
	return ids, nil
}

// between leaves what is older than those of before and newer than those of since: the
// list is by age.
func (f Filters) between(list []Listed) ([]Listed, error) {
	from, to := 0, len(list)
	for _, ref := range f["before"] {
		i, err := indexOf(list, ref)
		if err != nil {
			return list, err
		}
		from = max(from, i+1)
	}
	for _, ref := range f["since"] {
		i, err := indexOf(list, ref)
		if err != nil {
			return list, err
		}
		to = min(to, i)
	}
	return list[min(from, to):to], nil
}

func indexOf(list []Listed, ref string) (int, error) {
	name := strings.TrimPrefix(ref, "/")
	i := slices.IndexFunc(list, func(l Listed) bool { return l.Name == name || l.ID == ref })
	if i < 0 && ref != "" {
		i = slices.IndexFunc(list, func(l Listed) bool { return strings.HasPrefix(l.ID, ref) })
	}
	if i < 0 {
		return 0, &NotFoundError{Ref: ref}
	}
	return i, nil
}

// Match reports whether the filters hold for a container, as far as its fields tell.
func (f Filters) Match(l Listed) bool { return f.match(l, nil) }

// match reports whether the filters hold, but for those that are left out. Publish and
// expose are one: either has to hold.
func (f Filters) match(l Listed, without []string) bool {
	for key, values := range f {
		if slices.Contains(without, key) || key == "publish" || key == "expose" {
			continue
		}
		holds := func(v string) bool { return l.holds(key, v) }
		if key == "label" {
			if slices.ContainsFunc(values, func(v string) bool { return !holds(v) }) {
				return false
			}
			continue
		}
		if len(values) > 0 && !slices.ContainsFunc(values, holds) {
			return false
		}
	}
	ports := append(slices.Clone(f["publish"]), f["expose"]...)
	return len(ports) == 0 || l.hasPort(f["publish"], true) || l.hasPort(f["expose"], false)
}

// holds reports whether one filter holds.
func (l *Listed) holds(key, v string) bool {
	switch key {
	case "id":
		return strings.HasPrefix(l.ID, v)
	case "name":
		return matches(v, l.Name) || matches(v, "/"+l.Name) || matches(v, l.BareName()) || matches(v, "/"+l.BareName())
	case "status":
		return l.State == v
	case "engine":
		return OfEngine(l.Engine, l.Name, v)
	case "label":
		key, want, exact := strings.Cut(v, "=")
		have, ok := l.Labels[key]
		return ok && (!exact || have == want)
	case "ancestor":
		return sameImage(l.Image, v) || l.ImageID != "" && strings.HasPrefix(strings.TrimPrefix(l.ImageID, "sha256:"), strings.TrimPrefix(v, "sha256:"))
	case "network":
		for name, id := range l.Networks {
			if name == v || id != "" && strings.HasPrefix(id, v) {
				return true
			}
		}
		return false
	case "volume":
		return slices.ContainsFunc(l.Mounts, func(m docker.Mount) bool {
			return m.Destination == v || m.Name == v || m.Name == "" && m.Source == v
		})
	case "exited", "health", "is-task":
		return l.stored != nil && storedHolds(l, key, v)
	}
	return true // before and since, which between looks at; isolation
}

// OfEngine reports whether a container, of whose engine and by whose name a list tells, is
// an engine's: by what the list calls that, or by the part in front of its colon; "docker" is
// every dockerd, "k8s" whoever runs pods.
func OfEngine(its, name, engine string) bool {
	kind, _, _ := strings.Cut(its, ":")
	switch engine {
	case its, kind:
		return true
	case "docker":
		return kind == "unix" || kind == "tcp" || kind == "ssh" // by its address
	}
	return engine == "k8s" && strings.HasPrefix(name, "k8s:")
}

// storedHolds is for what only Docker's files tell.
func storedHolds(l *Listed, key, v string) bool {
	s := l.stored.State
	switch key {
	case "exited":
		return l.PID == 0 && !s.Running && !s.StartedAt.IsZero() && strconv.Itoa(s.ExitCode) == v
	case "health":
		return s.Health.Status == v || s.Health.Status == "" && v == "none"
	}
	return l.stored.Managed == (v == "1" || v == "true")
}

// hasPort reports whether one of a running container's ports is in one of the filters: of
// publish the host's, of expose its own.
func (l *Listed) hasPort(filters []string, published bool) bool {
	for _, v := range filters {
		in, err := portsIn(v)
		if err != nil {
			continue
		}
		for port, bindings := range l.Ports {
			_, proto, _ := strings.Cut(port, "/")
			if !published && in(port) || published && slices.ContainsFunc(bindings, func(b docker.Binding) bool { return in(b.HostPort + "/" + proto) }) {
				return true
			}
		}
	}
	return false
}

// matches is docker's match by a regular expression; of a wrong one nothing is.
func matches(pattern, text string) bool {
	ok, err := regexp.MatchString(pattern, text)
	return pattern == text || err == nil && ok
}

// sameImage reports whether two names mean one image: busybox is
// docker.io/library/busybox:latest.
func sameImage(a, b string) bool { return fullImage(a) == fullImage(b) }

func fullImage(name string) string {
	name = strings.TrimPrefix(strings.TrimPrefix(name, "docker.io/"), "library/")
	if last := name[strings.LastIndex(name, "/")+1:]; !strings.ContainsAny(last, ":@") {
		name += ":latest"
	}
	return name
}
