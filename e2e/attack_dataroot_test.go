package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// TestAttackDataRoot: a container has files that are called like those which dockerd has
// open in its data root, and dockerd has them open as well, while root commits the
// container. What lies beside them is not taken for Docker's.
func TestAttackDataRoot(t *testing.T) {
	e := suite.Start(t, engine.Options{})
	c := e.Run(t, engine.Busybox)
	e.MustDocker(t, "exec", c.Name, "sh", "-ec", `mkdir -p /x/containers /x/buildkit; truncate -s 1000G /x/buildkit/cache.db`)
	e.Spawn(t, "docker", "-H", e.Host, "commit", "--pause=false", c.Name, e.Name("image"))
	eventually(t, "dockerd has opened the container's file", func() bool {
		links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", e.PID))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range links {
			if to, _ := os.Readlink(l); strings.HasSuffix(to, "/x/buildkit/cache.db") { // closed meanwhile
				return true
			}
		}
		return false
	})
	r := e.Dx(t, "doctor", "--format", "json")
	var report struct{ Engine struct{ DataRoot string } }
	if err := json.Unmarshal([]byte(r.Stdout), &report); err != nil {
		t.Fatalf("%v: %+v", err, r)
	}
	if root := report.Engine.DataRoot; !strings.HasSuffix(root, "/"+filepath.Base(e.Dir)+"/data") {
		t.Errorf("doctor takes %s for the data root, want that of dockerd's --data-root", root)
	}
}
