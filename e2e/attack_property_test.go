package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// forgeries is how many are made, and forgerySeed the number from which they follow: a
// failing one can be made again.
const (
	forgeriesEnv = "DX_TEST_FORGERIES"
	forgerySeed  = "DX_TEST_FORGERY_SEED"
)

// forgedClaim is all that a process without privileges can choose of what dx looks at.
type forgedClaim struct {
	Form      string // how the bundle's directory is shown
	Namespace string // containerd's
	ID        string
	Config    string // config.json
	InitPID   string // init.pid; "": the child's own number
	Child     string // what the child leaves before it waits
	Cgroup    string // what its cgroup is called; "": it has none of its own
	Stay      bool   // the "shim" is in the child's mount namespace as well
	Given     bool   // all that was made is then root's, as if a rule about owners failed
}

func randomClaim(r *rand.Rand, c engine.Container) forgedClaim {
	hex := func() string {
		return strings.Repeat(fmt.Sprintf("%02x", r.IntN(256)), 31) + fmt.Sprintf("%02x", r.IntN(256))
	}
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	f := forgedClaim{
		Form:      pick("overlay", "bind", "plain"),
		Namespace: pick("moby", "moby", "k8s.io", "default", "plugins.moby", "m.b"),
		ID:        pick(hex(), hex(), c.ID, c.Name, "x"+c.Name, ".."+hex(), hex()+" (deleted)"),
		InitPID:   pick("", "", "", strconv.Itoa(c.PID), "1", "0", "-1", "x"),
		Child:     pick("", "-m", "-p -f -m --mount-proc", "-p -f", "-n -i -u -m"),
		Stay:      r.IntN(3) == 0,
		Given:     r.IntN(2) == 0,
	}
	f.Cgroup = pick("", f.ID, "docker-"+f.ID+".scope", "docker-"+c.ID+".scope", "libpod-"+f.ID+".scope", "cri-containerd-"+f.ID+".scope", c.ID)
	f.Config = randomConfig(r, pick)
	return f
}

// randomConfig is a bundle's text, in most cases one that is well-formed.
func randomConfig(r *rand.Rand, pick func(...string) string) string {
	var namespaces []any
	for _, kind := range []string{"mount", "pid", "user", "network", "ipc", "uts", "cgroup"} {
		if r.IntN(2) == 0 {
			namespaces = append(namespaces, map[string]string{"type": kind})
		}
	}
	all := []string{"CAP_SYS_ADMIN", "CAP_DAC_OVERRIDE", "CAP_SYS_PTRACE"}
	config := map[string]any{
		"ociVersion": "1.0.2", "root": map[string]string{"path": pick("/", "rootfs", "..")},
		"process": map[string]any{
			"args": []string{"x"}, "cwd": pick("/", "/tmp"), "noNewPrivileges": r.IntN(2) == 0, "apparmorProfile": pick("", "unconfined", "x"),
			"user":         map[string]int{"uid": r.IntN(2) * malloryID, "gid": 0},
			"capabilities": map[string]any{"bounding": all, "permitted": all, "effective": all},
		},
		"linux": map[string]any{"namespaces": namespaces, "cgroupsPath": "/"},
	}
	b, err := json.Marshal(config)
	if err != nil {
		panic(err) // maps of text
	}
	return pick(string(b), string(b), string(b), string(b[:r.IntN(len(b))]), "", "[]")
}

// forgedClaimScript makes what a forgedClaim says.
const forgedClaimScript = `
d=$DIR/m/io.containerd.runtime.v2.task/$NAMESPACE
mkdir -p "low/$ID" bundle "$d/$ID"
printf %s "$CONFIG" >bundle/config.json
printf '{"root":"%s"}' "$DIR/state" >bundle/options.json
export d
unshare -U -r -m sh -ec '
	case $FORM in
	overlay) mount -t overlay none -o "lowerdir=$ROOTED:$DIR/low" "$d";;
	bind) mount --bind "$ROOTED" "$d";;
	esac
	[ -d "$d/$ID" ] && mount --bind "$DIR/bundle" "$d/$ID"
	mount --bind "$DIR/true" /usr/bin/true
	mount --bind "$DIR/true" /bin/true || true
	echo $$ >"$DIR/holder"; exec sleep 4242' &
until [ -s holder ]; do sleep 0.05; done
a=$(cat holder)
cd "/proc/$a/root$d/$ID"
[ -z "$STAY" ] || exec nsenter -t $a -U -m --preserve-credentials --wd="$d/$ID" "$SHIM" -c '
	unshare $CHILD sleep 4242 & echo "${INITPID:-$!}" >"$DIR/bundle/init.pid"; echo $! >"$DIR/ready"; wait'
nsenter -t $a -U -m --preserve-credentials unshare $CHILD sleep 4242 &
echo "${INITPID:-$!}" >$DIR/bundle/init.pid
echo $! >$DIR/ready
wait
`

// TestAttackRandomForgeries: whatever a process without privileges makes of owners,
// namespaces, cgroups, working directories and bundles, dx lists no container that is
// not there, enters none, and still enters the one that is.
func TestAttackRandomForgeries(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	c := e.Run(t, engine.Busybox)
	n, seed := 20, rand.Uint64()
	if v, err := strconv.Atoi(os.Getenv(forgeriesEnv)); err == nil {
		n = v
	}
	if v, err := strconv.ParseUint(os.Getenv(forgerySeed), 10, 64); err == nil {
		seed = v
	}
	for i := range n {
		r := rand.New(rand.NewPCG(seed, uint64(i)))
		f := randomClaim(r, c)
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			attackByClaim(t, e, c, f)
			if t.Failed() {
				t.Logf("forgery %d of %s=%d: %+v", i, forgerySeed, seed, f)
			}
		})
	}
}

func attackByClaim(t *testing.T, e *engine.Engine, c engine.Container, f forgedClaim) {
	t.Helper()
	m := newMallory(t)
	m.program(t, "true")
	if err := os.Mkdir(filepath.Join(m.rooted, f.ID), 0o755); err != nil {
		t.Fatal(err)
	}
	cgroup := m.delegatedCgroup(t, e)
	stay := ""
	if f.Stay {
		stay = "1"
	}
	m.start(t, forgedClaimScript, "FORM="+f.Form, "NAMESPACE="+f.Namespace, "ID="+f.ID, "CONFIG="+f.Config,
		"INITPID="+f.InitPID, "CHILD="+f.Child, "STAY="+stay)
	child := m.wait(t, "ready")
	if f.Given {
		m.give(t, "bundle", "low", "m")
	}
	family := append([]string{child}, childrenOf(t, child)...) // unshare -f leaves a child
	if f.Cgroup != "" {
		m.place(t, cgroup, f.Cgroup, family...)
	}
	for verb, name := range map[string]string{"ps": "{{.Names}}", "ns": "{{.Name}}"} {
		r := e.Dx(t, "--source", "host", verb, "--no-trunc", "--format", "{{.ID}} {{.Pid}} "+name)
		for _, line := range lines(r.Stdout) {
			id, rest, _ := strings.Cut(line, " ")
			pid, called, _ := strings.Cut(rest, " ")
			if strings.Contains(called, fmt.Sprintf(":%d/", malloryID)) {
				// A container of the user's own, and of no other name: entered, it is the user's.
				r := e.Dx(t, "--source", "host", "exec", "--ignore-caller-limits", called, "true")
				m.mustGainNothing(t, fmt.Sprintf("exec %s: %+v", called, r))
				continue
			}
			if verb == "ps" && !slices.Contains(e.KnownIDs(), id) {
				t.Errorf("%s lists %q, which no engine knows", verb, line)
			}
			if slices.Contains(family, pid) {
				t.Errorf("%s lists the user's process: %q", verb, line)
			}
		}
		if r.Code != 0 {
			t.Errorf("%s: %+v", verb, r)
		}
	}
	for _, ref := range []string{f.ID, "pid:" + child, "pid:" + family[len(family)-1]} {
		if ref != c.ID && ref != c.Name {
			r := e.Dx(t, "--source", "host", "exec", "--ignore-caller-limits", ref, "true")
			m.mustGainNothing(t, fmt.Sprintf("exec %s: %+v", ref, r))
			if r.Code == 0 && !strings.HasPrefix(ref, "pid:") {
				t.Errorf("%s is entered: %+v", ref, r)
			}
		}
	}
	for _, ref := range []string{c.Name, c.ID} {
		r := e.Dx(t, "--source", "host", "exec", ref, "cat", "/proc/sys/kernel/hostname")
		if strings.TrimSpace(r.Stdout) != c.ID[:12] {
			t.Errorf("%s is not entered any more: %+v", ref, r)
		}
	}
}

// childrenOf waits until a process that is unshare -f has become what it runs, or has a
// child that is.
func childrenOf(t *testing.T, pid string) []string {
	t.Helper()
	var children []string
	eventually(t, "the user's process waits", func() bool {
		b, _ := os.ReadFile("/proc/" + pid + "/task/" + pid + "/children")
		children = strings.Fields(string(b))
		for _, p := range append(children, pid) {
			if comm, _ := os.ReadFile("/proc/" + p + "/comm"); strings.TrimSpace(string(comm)) == "sleep" {
				return true
			}
		}
		return false
	})
	return children
}
