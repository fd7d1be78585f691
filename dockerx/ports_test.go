package dockerx

import (
	"fmt"
	"testing"

	"dx/dockerx/docker"
)

func TestPorts(t *testing.T) {
	got := portsOf(docker.Ports{
		"80/tcp": {{HostIP: "::", HostPort: "8080"}, {HostPort: ""}, {HostIP: "evil", HostPort: "1"}},
		"53/udp": {{HostPort: "53"}},
		"x/tcp":  {{HostPort: "1"}},
	})
	if text := fmt.Sprint(got); text != "[{udp 0.0.0.0:53 53} {tcp [::]:8080 80}]" {
		t.Errorf("the ports are %s, want 53/udp on all addresses and 80/tcp on [::]:8080", text)
	}
}
