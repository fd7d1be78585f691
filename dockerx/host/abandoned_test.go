package host

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"dx/e2e/standin"
	"dx/nsops/proc"
)

// runtimeState writes the state of a container's whose init is a process, and its bundle.
func runtimeState(t *testing.T, root, id string, init *proc.Process, annotations string) {
	t.Helper()
	bundle := filepath.Join(root, "bundle-of-"+id)
	state := `{"id":"` + id + `","init_process_pid":` + strconv.Itoa(init.PID) + `,"init_process_start":` + strconv.Itoa(int(init.StartTime)) +
		`,"config":{"labels":["bundle=` + bundle + `"]}}`
	spec := `{"ociVersion":"1.0.2","process":{"args":["web","-p"],"cwd":"/","user":{"uid":0,"gid":0}},"root":{"path":"/"},"linux":{},"annotations":` + annotations + `}`
	standin.Must(t, errors.Join(
		os.MkdirAll(filepath.Join(root, id), 0o755), os.WriteFile(filepath.Join(root, id, "state.json"), []byte(state), 0o644),
		os.MkdirAll(bundle, 0o755), os.WriteFile(filepath.Join(bundle, "config.json"), []byte(spec), 0o644),
	))
}

// ownRoot is a directory that is closed to others, below one that is too.
func ownRoot(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	root := filepath.Join(dir, name)
	standin.Must(t, errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Chmod(dir, 0o755), os.Mkdir(root, 0o755)))
	return root
}

const podAnnotations = `{"io.kubernetes.cri.container-type":"container","io.kubernetes.cri.container-name":"web","io.kubernetes.cri.sandbox-name":"nginx","io.kubernetes.cri.sandbox-namespace":"prod","io.kubernetes.cri.image-name":"bb"}`

// TestAbandoned: what containerd's shims leave behind is found by the runtime's state. A pod's
// annotations count in the namespace of the CRI plugin alone, and whoever has a shim is not
// looked at again.
func TestAbandoned(t *testing.T) {
	standin.NeedRoot(t)
	self, err := proc.Open(os.Getpid())
	standin.Must(t, err)
	defer self.Close()
	k8s, other, moby := ownRoot(t, "k8s.io"), ownRoot(t, "default"), ownRoot(t, "moby")
	for _, root := range []string{k8s, other, moby} {
		runtimeState(t, root, someID, self, podAnnotations)
	}
	runtimeState(t, k8s, "served", self, podAnnotations)
	called := map[string]*Found{}
	for r := range abandonedIn([]string{k8s, other, moby}, func(_, id string) bool { return id != "served" }) {
		f := (&Listing{}).foundBy(r)
		if !r.names(self) || !f.Orphan || f.Image() != "bb" || fmt.Sprint(f.Command()) != "[web -p]" {
			t.Errorf("%+v", f)
		}
		called[f.Called()] = f
		r.close()
	}
	if called["k8s:prod/nginx/web"] == nil || called["containerd:default/"+someID] == nil || len(called) != 2 {
		t.Errorf("%v, want one of a pod, and one of nobody's", called)
	}
}

// TestThousandsOfStates: a runtime's directory full of what has ended, was written by half or
// is another's hides none that runs.
func TestThousandsOfStates(t *testing.T) {
	standin.NeedRoot(t)
	self, err := proc.Open(os.Getpid())
	standin.Must(t, err)
	defer self.Close()
	root := ownRoot(t, "k8s.io")
	ended := *self
	ended.StartTime++
	for i := range 5000 {
		id := fmt.Sprintf("%064x", i)
		switch i % 3 {
		case 0:
			runtimeState(t, root, id, &ended, `{}`)
		case 1:
			standin.Must(t, errors.Join(os.Mkdir(filepath.Join(root, id), 0o755), os.WriteFile(filepath.Join(root, id, "state.json"), []byte(`{"id":"`), 0o644)))
		default:
			standin.Must(t, errors.Join(os.Mkdir(filepath.Join(root, id), 0o755), os.Chown(filepath.Join(root, id), standin.Nobody, standin.Nobody)))
		}
	}
	runtimeState(t, root, someID, self, podAnnotations)
	var ids []string
	for r := range abandonedIn([]string{root}, func(string, string) bool { return true }) {
		ids = append(ids, r.id)
		r.close()
	}
	if len(ids) != 1 || ids[0] != someID {
		t.Errorf("%q, want the one that runs", ids)
	}
}

// TestHostileAnnotations: whoever may make a container may annotate it. Such a name is none.
func TestHostileAnnotations(t *testing.T) {
	for _, name := range []string{"host:", "docker:web", "../x", "a b", "\x1b[2J", "-rm", "web\n", ""} {
		if _, got, _ := identify(map[string]string{"nerdctl/name": name}); got != "" {
			t.Errorf("nerdctl's %q is called %q", name, got)
		}
		f := (&Listing{}).foundBy(&record{id: someID, name: name, engine: Engine{Manager: "podman"}, bundle: handle{fd: none}})
		if f.Name() != someID {
			t.Errorf("Podman's %q is called %q", name, f.Name())
		}
	}
	f := &Found{ID: someID, Namespace: "default", dir: handle{fd: none}, read: true}
	f.identify(map[string]string{"io.kubernetes.cri.container-type": "container", "io.kubernetes.cri.container-name": "web", "io.kubernetes.cri.sandbox-name": "nginx", "io.kubernetes.cri.sandbox-namespace": "prod"})
	if f.pod != (Pod{}) {
		t.Errorf("a container of ctr's calls itself %v", f.pod)
	}
}

// TestStorageBeforeAnnotations: whose a container is whose conmon has died, its storage says,
// not what whoever made its pod has annotated.
func TestStorageBeforeAnnotations(t *testing.T) {
	standin.NeedRoot(t)
	store := ownRoot(t, "overlay-containers")
	bundle := filepath.Join(ownRoot(t, "overlay-containers"), someID, "userdata") // in the runroot
	spec := `{"process":{"args":["x"],"cwd":"/","user":{"uid":0,"gid":0}},"root":{"path":"` + filepath.Dir(store) + `/overlay/x/merged"},"linux":{},"annotations":
		{"io.container.manager":"libpod","io.kubernetes.cri-o.Name":"k8s_forged_forged_forged_0_0"}}`
	stored := `[{"id":"` + someID + `","names":["k8s_web_nginx_prod_0b7c_0"],"metadata":"{\"pod-name\":\"nginx\",\"pod-id\":\"x\",\"name\":\"k8s_web_nginx_prod_0b7c_0\",\"image-name\":\"bb\"}"}]`
	standin.Must(t, errors.Join(
		os.MkdirAll(bundle, 0o755), os.WriteFile(filepath.Join(bundle, "config.json"), []byte(spec), 0o644),
		os.WriteFile(filepath.Join(store, "volatile-containers.json"), []byte(stored), 0o600),
	))
	r := &record{id: someID, bundle: handle{fd: none}}
	r.bundleAt(bundle, newStores())
	defer r.close()
	if want := (Pod{Namespace: "prod", Name: "nginx", Container: "web"}); r.engine.Manager != "cri-o" || r.pod != want || r.image != "bb" {
		t.Errorf("%+v, pod %v, want CRI-O's of %v", r.engine, r.pod, want)
	}
}
