package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// rootless starts a user's dockerd with two containers in PID and mount namespaces of its
// own, and then runs "$@" there as root.
const rootless = `set -e
mount --make-rprivate /
mount --bind $DIR /mnt # rootlesskit makes links of what is in /run
DIR=/mnt
echo "rl:x:$ID:$ID::$DIR/home:/bin/sh" | cat /etc/passwd - >$DIR/passwd
echo "rl:x:$ID:" | cat /etc/group - >$DIR/group
echo "rl:300000:65536" | tee $DIR/subuid >$DIR/subgid
for f in passwd group subuid subgid; do mount --bind $DIR/$f /etc/$f; done
mkdir -p $DIR/home $DIR/run
chown $ID:$ID $DIR/home $DIR/run
chmod 755 $DIR
chmod 700 $DIR/run
export DOCKER_HOST=unix://$DIR/run/docker.sock
setpriv --reuid $ID --regid $ID --clear-groups env HOME=$DIR/home XDG_RUNTIME_DIR=$DIR/run \
	rootlesskit --state-dir=$DIR/run/kit --net=host --copy-up=/etc --copy-up=/run --propagation=rslave \
	sh -c 'rm -f /run/docker /run/containerd
		exec dockerd --rootless --data-root $HOME/data --exec-root $XDG_RUNTIME_DIR/exec --pidfile $XDG_RUNTIME_DIR/pid -H $DOCKER_HOST \
			--iptables=false --ip6tables=false --bridge=none --storage-driver vfs --exec-opt native.cgroupdriver=cgroupfs' >$DIR/log 2>&1 &
until docker version >/dev/null 2>&1; do kill -0 $! || { tail -n 5 $DIR/log; exit 1; }; sleep 0.1; done
docker import -c 'CMD ["sleep","1000000"]' $DIR/rootfs.tar app >/dev/null
docker run -d --name rlroot --network none app >/dev/null
docker run -d --name rltwo --network none app >/dev/null
exec "$@"`

// onRootless runs a command as root beside a user's dockerd.
func onRootless(t *testing.T, e *engine.Engine, command ...string) []string {
	t.Helper()
	engine.Require(t, engine.Rootlesskit)
	dir, err := os.MkdirTemp("", "dxl-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	image, err := os.Create(filepath.Join(dir, "rootfs.tar"))
	if err != nil {
		t.Fatal(err)
	}
	defer image.Close()
	if err := engine.Rootfs(image); err != nil {
		t.Fatal(err)
	}
	return append([]string{"env", "DIR=" + dir, "ID=54321", "unshare", "-m", "-p", "-f", "--mount-proc", "sh", "-c", rootless, "sh"}, command...)
}

// TestDoctorOfRootlessDocker: a user's dockerd is nobody's fault, and root gets no advice that
// ends anything of the user's.
func TestDoctorOfRootlessDocker(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	r, code := reportOf(t, e, onRootless(t, e, e.DxPath(t), "doctor", "--timeout", "20s", "--format", "json")...)
	judgesNothing(t, r, code)
	if r.Engine.Running != 2 || !strings.Contains(r.Engine.Doubt, "54321") {
		t.Errorf("want 2 containers by the word of an engine of uid 54321: %+v", r.Engine)
	}
}

// TestRootlessIsNotEntered: at the word of a user's engine root enters nothing, and is not
// told that the engine is another host's.
func TestRootlessIsNotEntered(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	r := e.Do(t, engine.Command{Args: onRootless(t, e, e.DxPath(t), "--api-timeout", "20s", "exec", "rlroot", "true")})
	if r.Code == 0 || !strings.Contains(r.Stderr, "is not believed") || !strings.Contains(r.Stderr, "54321") {
		t.Errorf("%v, want that an engine of uid 54321 is not believed", r)
	}
}
