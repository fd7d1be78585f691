package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// slowRuntime is runc, held at three moments until a file go-MOMENT is there: in a hook,
// when the init is in its namespaces and cgroup and no file tells of it; when it is ready,
// and only its state does; when it waits to be started.
const slowRuntime = `#!/bin/bash
gate=%s
hold() { touch $gate/at-$1; until [ -e $gate/go-$1 ]; do sleep 0.1; done; }
if [ "$1" = hook ]; then hold hook; cat >/dev/null; exit; fi
args=() last= verb= bundle= pidfile=
for arg; do
	case $last in --bundle) bundle=$arg;; --pid-file) pidfile=$arg; arg=$arg.late;; esac
	case $arg in create|start) verb=$arg;; esac
	last=$arg args+=("$arg")
done
case $verb in
create)
	hook="{\"path\":\"$0\",\"args\":[\"$0\",\"hook\"]}"
	if grep -q '"prestart":\[' $bundle/config.json
	then sed -i "s|\"prestart\":\[|&$hook,|" $bundle/config.json
	else sed -i "1s|{|{\"hooks\":{\"prestart\":[$hook]},|" $bundle/config.json
	fi
	runc "${args[@]}" || exit
	hold state; mv $pidfile.late $pidfile;;
start) hold start; exec runc "$@";;
*) exec runc "$@";;
esac
`

// TestBeingCreated: a container that is being created is listed as running nowhere, under
// no name, and never entered: its init is the runtime yet.
func TestBeingCreated(t *testing.T) {
	gate := t.TempDir()
	runtime := filepath.Join(gate, "slow")
	if err := os.WriteFile(runtime, fmt.Appendf(nil, slowRuntime, gate), 0o755); err != nil {
		t.Fatal(err)
	}
	e := suite.Start(t, engine.Options{Args: []string{"--add-runtime", "slow=" + runtime}})
	name, moments := e.Name("creating"), []string{"hook", "state", "start"}
	pass := func(moment string) {
		if err := os.WriteFile(filepath.Join(gate, "go-"+moment), nil, 0o644); err != nil {
			t.Error(err)
		}
	}
	starts := e.Command(t.Context(), "docker", "run", "-d", "--runtime", "slow", "--name", name, engine.Busybox, "sleep", "4242")
	if err := starts.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, moment := range moments {
			pass(moment)
		}
		_ = starts.Wait()
	})
	for _, moment := range moments {
		eventually(t, "the container is held: "+moment, func() bool {
			_, err := os.Stat(filepath.Join(gate, "at-"+moment))
			return err == nil
		})
		id := strings.TrimSpace(e.MustDocker(t, "ps", "-aq", "--no-trunc", "--filter", "name="+name).Stdout)
		notYet(t, e, moment, name, id)
		pass(moment)
	}
	if err := starts.Wait(); err != nil {
		t.Fatalf("docker run: %v", err)
	}
	if r := e.Dx(t, "--source", "host", "exec", name, "true"); r.Code != 0 {
		t.Errorf("once it runs, exec is %v", r)
	}
}

func notYet(t *testing.T, e *engine.Engine, moment, name, id string) {
	t.Helper()
	for _, source := range []string{"auto", "host"} {
		flags := []string{"--api-timeout", "1s", "--source", source} // its lock is held
		for _, ref := range []string{name, id} {
			in, r := entered(t, e, nil, slices.Concat(flags, []string{"exec", ref})...)
			if in != "" || r.Code == 0 {
				t.Errorf("%s, --source %s: exec %s enters %q, %v", moment, source, ref, in, r)
			}
		}
		for _, verb := range []string{"ps", "ns"} {
			r := e.Do(t, engine.Command{Args: slices.Concat([]string{e.DxPath(t)}, flags, []string{verb, "--no-trunc"})})
			if r.Code != 0 || strings.Contains(r.Stdout, name) || strings.Contains(r.Stdout, id) {
				t.Errorf("%s, --source %s: %s lists it: %v", moment, source, verb, r)
			}
		}
	}
}
