package docker

import (
	"os"
	"strings"
	"testing"

	"dx/dockerx/plain"
	"dx/dockerx/plain/plaintest"
)

// TestParse: what GET /containers/ID/json and config.v2.json have in common (moby
// api/swagger.yaml, container/container.go). Whatever lacks an ID is no container.
func TestParse(t *testing.T) {
	id := strings.Repeat("ab", 32)
	for what, text := range map[string]string{
		"the API's answer": `{"Id":"` + id + `","Name":"/web","State":{"Running":true,"Pid":7},"HostConfig":{"GroupAdd":["staff"]}}`,
		"Docker's file":    `{"ID":"` + id + `","Name":"/web","State":{"Running":true,"Pid":7},"NetworkSettings":{"Networks":null}}`,
	} {
		c, err := Parse([]byte(text))
		if err != nil || c.ID != id || c.Name != "web" || !c.State.Running || c.State.Pid != 7 {
			t.Errorf("%s: %+v, %v, want web, which runs as pid 7", what, c, err)
		}
	}
	for _, text := range []string{"", "{", "null", "{}", `{"Id":"web"}`, `{"Id":5}`, `{"Id":"` + strings.Repeat("AB", 32) + `"}`} {
		if c, err := Parse([]byte(text)); err == nil {
			t.Errorf("%q is taken for the container %+v", text, c)
		}
	}
}

func TestParseHostConfig(t *testing.T) {
	h, err := ParseHostConfig([]byte(`{"Privileged":true,"PidsLimit":0,"CapAdd":["ALL"],"NetworkMode":"host","Memory":67108864}`))
	if err != nil || !h.Privileged || h.PidsLimit == nil || h.CapAdd[0] != "ALL" || h.NetworkMode != "host" || h.Memory != 64<<20 {
		t.Errorf("%+v, %v, want what the text says", h, err)
	}
	if h, err := ParseHostConfig([]byte(`{"Privileged":"yes"}`)); err == nil {
		t.Errorf("a text for a boolean is taken: %+v", h)
	}
}

// TestIsID: 64 lower-case hexadecimal digits (moby pkg/stringid).
func TestIsID(t *testing.T) {
	id := strings.Repeat("0f", 32)
	for text, want := range map[string]bool{id: true, id[1:]: false, id + "0": false, strings.ToUpper(id): false, "g" + id[1:]: false, "": false} {
		if IsID(text) != want {
			t.Errorf("%q is an ID: %v, want %v", text, !want, want)
		}
	}
}

// TestParseIsEncodingJSONs: no field is forgotten, and what dockerd writes is plain.
func TestParseIsEncodingJSONs(t *testing.T) {
	file := func(name string) []byte {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	read := func(c *Container, r *plain.Reader) { c.read(r, &parts{}) }
	for _, text := range [][]byte{plaintest.Filled[Container](t), file("../engine/testdata/inspect.json"), file("../host/testdata/docker-20.10/config.v2.json")} {
		if !plaintest.Same(t, text, read) {
			t.Errorf("%s is left to encoding/json", text)
		}
	}
	for _, text := range [][]byte{plaintest.Filled[HostConfig](t), file("../host/testdata/docker-20.10/hostconfig.json")} {
		if !plaintest.Same(t, text, (*HostConfig).read) {
			t.Errorf("%s is left to encoding/json", text)
		}
	}
}

// TestParseAnswer: what an answer lacks is not taken for no.
func TestParseAnswer(t *testing.T) {
	id := `{"Id":"` + strings.Repeat("ab", 32) + `"`
	if _, err := ParseAnswer([]byte(id + `,"State":{},"Config":{},"HostConfig":{}}`)); err != nil {
		t.Error(err)
	}
	for _, rest := range []string{`}`, `,"State":null,"Config":{},"HostConfig":{}}`, `,"State":{},"HostConfig":{}}`, `,"state":{},"Config":{}}`} {
		if c, err := ParseAnswer([]byte(id + rest)); err == nil {
			t.Errorf("%s is taken for the container %+v", rest, c)
		}
	}
}

func FuzzParse(f *testing.F) {
	id := strings.Repeat("ab", 32)
	f.Add([]byte(`{"Id":"` + id + `","Name":"/web","State":{"Running":true,"Pid":7},"HostConfig":{"GroupAdd":["staff"]}}`))
	f.Add([]byte(`{"ID":"` + id + `","NetworkSettings":{"Networks":{"bridge":{"IPAddress":"::1"}},"Ports":{"80/tcp":[{"HostPort":"8080"}]}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		plaintest.Same(t, text, func(c *Container, r *plain.Reader) { c.read(r, &parts{}) })
		plaintest.Same(t, text, (*HostConfig).read)
	})
}
