package dockerx

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"dx/dockerx/docker"
	"dx/e2e/fakeengine"
)

// TestFilters: which filters hold for a container of which only Docker's files tell, by the
// rules of moby's daemon/list.go.
func TestFilters(t *testing.T) {
	text := `{"ID":"` + fakeengine.ID("ab") + `","Name":"/web","Created":"2024-02-03T04:05:06.7Z","Path":"sh","Args":["-c","sleep 1"],
		"Image":"sha256:1234567890","Managed":false,"State":{"ExitCode":3,"StartedAt":"2024-02-03T04:05:07Z","FinishedAt":"2024-02-03T04:06:07Z","Health":{"Status":"unhealthy"}},
		"Config":{"Image":"busybox","Labels":{"a":"1","b":""}},
		"NetworkSettings":{"Networks":{"back":{"NetworkID":"feed01"},"none":null},"Ports":{"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"}],"53/udp":null}},
		"MountPoints":{"/data":{"Name":"vol","Source":"/var/lib/docker/volumes/vol/_data","Destination":"/data","Driver":"local"},"/x":{"Source":"/srv","Destination":"/x"}}}`
	d, err := docker.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	l := storedOne(d)
	l.Name, l.Engine = d.Name, "docker:/data"
	l.recorded(d)
	if l.Command != "sh -c 'sleep 1'" || !l.Created.Equal(time.Date(2024, 2, 3, 4, 5, 6, 7e8, time.UTC)) {
		t.Errorf("the command is %q, created %v", l.Command, l.Created)
	}
	for text, want := range map[string]bool{
		"id=ab": true, "id=b": false,
		"name=web": true, "name=^/web$": true, "name=^eb": false, "name=w.b": true, "name=(": false,
		"label=a": true, "label=a=1": true, "label=a=2": false, "label=a label=b": true, "label=a label=c": false,
		"status=exited": true, "status=running": false, "status=running status=exited": true,
		"ancestor=busybox": true, "ancestor=docker.io/library/busybox:latest": true, "ancestor=busybox:1": false,
		"ancestor=sha256:1234": true, "ancestor=1234": true, "ancestor=box": false,
		"engine=docker": true, "engine=docker:/data": true, "engine=podman": false, "engine=k8s": false,
		"network=back": true, "network=none": true, "network=feed": true, "network=eed": false,
		"volume=vol": true, "volume=/data": true, "volume=/srv": true, "volume=/x": true, "volume=/var": false,
		"publish=8080": true, "publish=80": false, "publish=8000-9000/tcp": true, "publish=8080/udp": false,
		"expose=80": true, "expose=53": false, "expose=53/udp": true, "expose=1 publish=8080": true,
		"exited=3": true, "exited=0": false, "health=unhealthy": true, "health=none": false,
		"is-task=false": true, "is-task=1": false, "isolation=x": true, "name=web status=running": false,
	} {
		f := Filters{}
		for _, one := range strings.Fields(text) {
			key, value, _ := strings.Cut(one, "=")
			f[key] = append(f[key], value)
		}
		if err := f.Check(); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		if got := f.match(l, nil); got != want {
			t.Errorf("%s holds: %v, want %v", text, got, want)
		}
	}
	// Where its name means another one, a list has a reference, and the name is still its.
	l.Name, l.bare = "docker:abababababab", "web"
	for _, name := range []string{"^web$", "^docker:ab"} {
		if !(Filters{"name": {name}}).match(l, nil) {
			t.Errorf("name=%s does not find %s, which its engine calls %s", name, l.Name, l.bare)
		}
	}
}

// TestSelectAsksTheEngine: what only the engine knows of its containers is asked of it.
func TestSelectAsksTheEngine(t *testing.T) {
	e := &fakeengine.Engine{Containers: []fakeengine.Container{
		fakeengine.Running(fakeengine.ID("a1"), "dx-one", fakeengine.NoPID), fakeengine.Running(fakeengine.ID("a2"), "dx-two", fakeengine.NoPID),
	}}
	e.Instead = func(w http.ResponseWriter, r *http.Request) bool {
		text := r.URL.Query().Get("filters")
		if text == "" {
			return false
		}
		var filters map[string]map[string]bool
		if err := json.Unmarshal([]byte(text), &filters); err != nil || !filters["health"]["healthy"] || len(filters) != 1 {
			t.Errorf("the engine is asked for %s", text)
		}
		json.NewEncoder(w).Encode([]map[string]any{{"Id": fakeengine.ID("a2"), "Names": []string{"/dx-two"}}})
		return true
	}
	r, err := NewResolver(Options{Host: fakeengine.Serve(t, e), APITimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	list, err := r.Select(context.Background(), false, Filters{"health": {"healthy"}, "name": {"dx-"}}, 0)
	if err != nil || len(list) != 1 || list[0].Name != "dx-two" {
		t.Errorf("%+v, %v, want the one that the engine calls healthy", list, err)
	}
}
