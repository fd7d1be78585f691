package dockerx

import (
	"strings"
	"time"

	"dx/dockerx/docker"
	"dx/dockerx/engine"
)

// told takes what the engine's list says of a container, but for its state.
func (l *Listed) told(s engine.Summary) {
	l.Name, l.Image, l.Labels, l.Source = s.Name, s.Image, s.Labels, SourceEngine
	l.Created, l.Command, l.ImageID = s.Created, s.Command, s.ImageID
	l.Ports, l.Networks, l.Mounts = s.Ports, s.Networks, s.Mounts
}

// recorded takes the same from Docker's files.
func (l *Listed) recorded(d *docker.Container) {
	l.stored = d
	l.Image, l.Labels = d.Config.Image, d.Config.Labels
	l.Created, _ = time.Parse(time.RFC3339Nano, d.Created)
	l.Command, l.ImageID, l.Ports = commandLine(d), d.Image, d.NetworkSettings.Ports
	l.Networks = map[string]string{}
	for name, n := range d.NetworkSettings.Networks {
		l.Networks[name] = ""
		if n != nil {
			l.Networks[name] = n.NetworkID
		}
	}
	for _, m := range d.MountPoints {
		l.Mounts = append(l.Mounts, m)
	}
	if l.PID != 0 {
		l.Status = healthy(*l, d.State.Health.Status)
	}
}

// commandLine is as dockerd writes it for its list (moby, container/view.go).
func commandLine(d *docker.Container) string { return joined(append([]string{d.Path}, d.Args...)) }

func joined(args []string) string {
	var words []string
	for i, arg := range args {
		if i > 0 && strings.Contains(arg, " ") {
			arg = "'" + arg + "'"
		}
		words = append(words, arg)
	}
	return strings.Join(words, " ")
}

// age is when the container was created, or else when it was started.
func (l *Listed) age() time.Time {
	if l.Created.IsZero() {
		return l.StartedAt
	}
	return l.Created
}

// healthy is the status with what its health check says, as docker has it (moby,
// container/state.go): of a paused one none.
func healthy(l Listed, health string) string {
	switch {
	case l.State != "running":
	case health == "starting":
		return l.Status + " (health: starting)"
	case health == "healthy", health == "unhealthy":
		return l.Status + " (" + health + ")"
	}
	return l.Status
}

// healthIn is the health that a status of the engine's tells.
func healthIn(status string) string {
	for _, health := range []string{"healthy", "unhealthy", "health: starting"} {
		if strings.HasSuffix(status, " ("+health+")") {
			return strings.TrimPrefix(health, "health: ")
		}
	}
	return ""
}
