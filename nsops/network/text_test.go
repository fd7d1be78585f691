package network

import "testing"

func TestRouteText(t *testing.T) {
	for want, r := range map[string]Route{
		"default via 10.0.0.1 dev eth0":           {Destination: "default", Gateway: "10.0.0.1", Interface: "eth0", Type: "unicast", Family: "inet"},
		"default (ipv6) via fe80::1 dev eth0":     {Destination: "default", Gateway: "fe80::1", Interface: "eth0", Type: "unicast", Family: "inet6"},
		"blackhole 10.1.0.0/16 metric 5":          {Destination: "10.1.0.0/16", Type: "blackhole", Family: "inet", Metric: 5},
		"10.0.0.0/24 dev eth0":                    {Destination: "10.0.0.0/24", Interface: "eth0", Source: "10.0.0.7", Type: "unicast", Family: "inet"},
		"default via 10.0.0.1,10.0.1.1 dev e0,e1": {Destination: "default", Gateway: joined("10.0.0.1", "10.0.1.1"), Interface: joined(joined("", "e0"), "e1"), Family: "inet"},
	} {
		if got := r.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
