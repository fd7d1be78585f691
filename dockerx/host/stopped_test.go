package host

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dx/e2e/standin"
)

// TestStopped: real records of Podman 4.3.1, CRI-O, buildah, nerdctl and containerd's CRI, cut
// short; and what is half-written, foreign or hostile beside them.
func TestStopped(t *testing.T) {
	root := t.TempDir()
	standin.Must(t, os.Chmod(root, 0o700))
	id := func(digit string) string { return strings.Repeat(digit, 64) }
	write := func(name, text string) {
		t.Helper()
		name = filepath.Join(root, name)
		standin.Must(t, errors.Join(os.MkdirAll(filepath.Dir(name), 0o700), os.WriteFile(name, []byte(text), 0o600)))
	}
	const made = `"created":"2026-11-26T14:23:34.352887322Z"`
	write("overlay-containers/containers.json", `[
		{"id":"`+id("a")+`","names":["made"],"metadata":"{\"image-name\":\"localhost/app:latest\",\"name\":\"made\",\"created-at\":1795703014}",`+made+`},
		{"id":"`+id("b")+`","names":["ended"],"metadata":"{\"image-name\":\"localhost/app:latest\",\"name\":\"ended\"}",`+made+`},
		{"id":"`+id("c")+`","names":["app-working-container"],"metadata":"",`+made+`}]`)
	write("overlay-containers/volatile-containers.json", `[{"id":"`+id("d")+`","names":["k8s_web_nginx-x2z9k_prod_0b7c_0"],"metadata":"{\"pod-name\":\"nginx-x2z9k\",\"pod-id\":\"x\",\"image-name\":\"bb\"}",`+made+`}]`)
	write("overlay-containers/"+id("b")+"/userdata/config.json", "{}")
	write("nerdctl/98e4ec46/names/default/nweb", id("e"))
	write("nerdctl/98e4ec46/names/default/half", id("e")[:20])
	write("nerdctl/98e4ec46/names/default/-bad", id("e"))
	write("cri/"+id("f")+"/status", `{"Version":"v1","Pid":0,"CreatedAt":1795703014000000000,"StartedAt":1795703015000000000,"FinishedAt":1795703016000000000,"ExitCode":3}`)
	write("cri/"+id("1")+"/status", `{"Version":"v1","Pid":0,"Crea`)
	write("cri/other/status", `{"CreatedAt":1}`)
	found := map[string]*Found{}
	add := func(f *Found) { f.read = true; found[f.ID] = f }
	for what, err := range map[string]error{
		"storage": eachStored(root+"/overlay-containers", add), "nerdctl": nerdctlIn(root+"/nerdctl", add), "CRI": criIn(root+"/cri", add),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	type row struct{ called, image, state string }
	got := map[string]row{}
	for id, f := range found {
		got[id] = row{f.Called(), f.Image(), f.Stopped().State}
	}
	want := map[string]row{
		id("a"): {"podman:made", "localhost/app:latest", "created"}, id("b"): {"podman:ended", "localhost/app:latest", "exited"},
		id("d"): {"k8s:prod/nginx-x2z9k/web", "bb", "created"}, id("e"): {"containerd:default/nweb", "", "exited"},
		id("f"): {"containerd:k8s.io/" + id("f"), "", "exited"},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(row{})); diff != "" {
		t.Error(diff)
	}
	if s := found[id("f")].Stopped(); s.ExitCode != 3 || !s.Finished.Equal(time.Unix(1795703016, 0)) {
		t.Errorf("CRI's status is %+v", s)
	}
	// Whoever can write there has no say.
	standin.Must(t, os.Chmod(root+"/overlay-containers", 0o777))
	if err := eachStored(root+"/overlay-containers", add); err == nil {
		t.Error("a storage that others may write to is believed")
	}
	write("vfs-containers/containers.json", "[{")
	if err := eachStored(root+"/vfs-containers", add); err == nil {
		t.Error("a half-written storage is read without a word")
	}
}
