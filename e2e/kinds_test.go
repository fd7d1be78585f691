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

// otherKinds are kinds that need more than flags. In their flags PROFILE, PASSWD
// and GROUP are files, and OTHER is a container.
var otherKinds = []kind{
	{name: "profile", run: []string{"--security-opt", "seccomp=PROFILE"}, execs: [][]string{{}, {"-u", "app"}}},
	{name: "pid-container", run: []string{"--pid", "container:OTHER"}, execs: [][]string{{}, {"-t"}}},
	{name: "ipc-container", run: []string{"--ipc", "container:OTHER"}, execs: [][]string{{}}},
	{name: "network-container", run: []string{"--network", "container:OTHER"}, execs: [][]string{{}}},
	{
		name:  "all-of-a-container",
		run:   []string{"--pid", "container:OTHER", "--ipc", "container:OTHER", "--network", "container:OTHER", "--cap-add", "SYS_PTRACE"},
		execs: [][]string{{}, {"-u", "app"}},
	},
	{name: "namespaces-of-the-host", run: []string{"--pid", "host", "--ipc", "host", "--uts", "host", "--network", "host", "--cgroupns", "host"}, execs: [][]string{{}, {"-u", "app", "-t"}}},

	// HOME comes from the file that the container sees, names from the one below it.
	{name: "passwd-mounted", run: []string{"-v", "PASSWD:/etc/passwd:ro", "-v", "GROUP:/etc/group:ro"}, execs: [][]string{{}, {"-u", "app"}, {"-u", "4711"}, {"-u", "1000:extra"}}},
	{name: "passwd-missing", prepare: "rm /etc/passwd /etc/group", execs: [][]string{{}, {"-u", "1000"}, {"-u", "5:6"}}},
	{name: "passwd-missing-user", run: []string{"--user", "app"}, prepare: "rm /etc/passwd", execs: [][]string{{"-u", "0"}, {"-u", "1000"}}},
	{name: "passwd-empty", prepare: ": >/etc/passwd; : >/etc/group", execs: [][]string{{}, {"-u", "1000"}}},
	{name: "passwd-link", prepare: "mv /etc/passwd /etc/p; ln -s /etc/p /etc/passwd", execs: [][]string{{}, {"-u", "app"}}},
	{name: "passwd-dangling", prepare: "rm /etc/passwd; ln -s /nosuch /etc/passwd", execs: [][]string{{}, {"-u", "1000"}}},
	{name: "passwd-unreadable", prepare: "chmod 0 /etc/passwd /etc/group", run: []string{"--cap-drop", "ALL"}, execs: [][]string{{}, {"-u", "app"}, {"-u", "1000"}}},
	{name: "passwd-odd", prepare: oddAccounts, execs: [][]string{{}, {"-u", "app"}, {"-u", "twice"}, {"-u", "1000"}, {"-u", "3000"}, {"-u", "blank"}, {"-u", "5000"}, {"-u", "late"}, {"-u", "root:odd"}}},

	{
		name: "env",
		run:  []string{"-e", "NL=a\nb\n", "-e", "EMPTY=", "-e", "UTF=é ✓ 漢字", "-e", "D=1", "-e", "D=2", "-e", "SPACE= x ", "-e", "EQ==a=b=", "-e", "Ü=ä", "-e", "BACK=\\n\t\x01"},
		execs: [][]string{
			{}, {"-u", "app"},
			{"-e", "D=3", "-e", "D=4", "-e", "NL=x\ny", "-e", "EMPTY", "-e", "Ü=ö", "-e", "NEW=1", "-e", "NEW=2", "-e", "NEW", "-e", "UTF="},
			{"-e", "HOME=", "-e", "PATH=/bin", "-e", "HOSTNAME=x", "-e", "HOSTNAME=y"},
		},
	},
	{name: "env-1000", run: thousand("IN"), execs: [][]string{{}, thousand("EX"), thousand("IN")}},
	{name: "env-home-empty", run: []string{"-e", "HOME=", "-e", "LAST=1"}, execs: [][]string{{}, {"-e", "HOME"}, {"-u", "app", "-e", "Z=1"}}},
	{name: "workdir-missing", run: []string{"-w", "/made/by/run"}, execs: [][]string{{}, {"-u", "app"}}},
	{name: "workdir-closed", prepare: "mkdir -m 700 /closed; chown app /closed", run: []string{"--cap-drop", "ALL", "--cap-add", "CHOWN"}, execs: [][]string{{"-u", "app", "-w", "/closed"}}},
	{name: "sysctl-device-tmpfs", run: []string{"--sysctl", "net.ipv4.ip_forward=0", "--device", "/dev/zero:/dev/zero2", "--tmpfs", "/t", "--stop-signal", "INT"}, execs: [][]string{{}}},
	{name: "every-cap", run: []string{"--cap-drop", "ALL", "--cap-add", "SETUID", "--cap-add", "NET_RAW"}, execs: [][]string{{}, {"-u", "app"}, {"-u", "1000:0"}}},
	{name: "paths-unconfined", run: []string{"--security-opt", "systempaths=unconfined", "--security-opt", "seccomp=unconfined"}, execs: [][]string{{}, {"-t"}}},
}

// asBoth are execs as the container's user and as another.
var asBoth = [][]string{{}, {"-t", "-u", "app"}}

// remappedKinds are containers of an engine with --userns-remap.
var remappedKinds = []kind{
	{name: "default", execs: asBoth},
	{name: "cap-drop", run: []string{"--cap-drop", "ALL"}, execs: asBoth},
	{name: "cap-add", run: []string{"--cap-add", "SYS_ADMIN"}, execs: asBoth},
	{name: "user", run: []string{"--user", "app", "--group-add", "99"}, execs: asBoth},
	{name: "userns-host", run: []string{"--userns", "host"}, execs: asBoth},
	{name: "no-new-privileges", run: []string{"--security-opt", "no-new-privileges"}, execs: asBoth},
	{name: "unconfined", run: []string{"--security-opt", "seccomp=unconfined", "--security-opt", "systempaths=unconfined"}, execs: asBoth},
	{name: "read-only", run: []string{"--read-only", "--tmpfs", "/run"}, execs: asBoth},
	{name: "ulimit", run: []string{"--ulimit", "nproc=1000:2000", "--oom-score-adj", "5"}, execs: asBoth},
	{name: "passwd-missing", prepare: "rm /etc/passwd; echo app:x:1000:1000::/home/app: >/etc/passwd", execs: asBoth},
	{name: "cgroupns-host", run: []string{"--cgroupns", "host"}, execs: asBoth},
	{name: "pid-container", run: []string{"--pid", "container:OTHER", "--network", "container:OTHER"}, execs: asBoth},
	{name: "init", run: []string{"--init"}, execs: asBoth},
}

// oddAccounts writes account files with all that a parser may stumble over.
const oddAccounts = `
printf '%s\n' '# a comment' '' 'short' 'root:x:0:0:root:/root:/bin/sh' 'nan:x:abc:def::/nan:' \
	'twice:x:3000:3000::/first:' 'twice:x:3001:3001::/second:' 'also:x:3000:3002::/third:' \
	'  blank:x:4000:4000::/blank:/bin/sh' 'app:x:1000:1000:App:/home/app:/bin/sh:more:fields' \
	'crlf:x:5000:5000::/crlf:/bin/sh\r' 'nohome:x:5001:5001:::' 'big:x:4294967296:1::/big:' 'neg:x:-1:-1::/neg:' >/etc/passwd
head -c 5000 /dev/zero | tr '\0' x >>/etc/passwd
printf '\nlate:x:6000:6000::/late:/bin/sh' >>/etc/passwd
printf '%s\n' 'root:x:0:' '#odd' 'odd:x:7000:app,, late ,app' 'odd:x:7001:app' 'app:x:1000:app' 'bad:x:gid:app' 'end:x:7002:late' >/etc/group
`

// thousand sets 1,000 variables.
func thousand(prefix string) []string {
	var flags []string
	for n := range 1000 {
		flags = append(flags, "-e", fmt.Sprintf("%s_%d=%d", prefix, n, n*n))
	}
	return flags
}

// start runs the container, with the prober in it.
func (k kind) start(t *testing.T, e *engine.Engine) engine.Container {
	t.Helper()
	c := e.Run(t, engine.Busybox, slices.Concat(mountProber(t), fixtures(t, e, k.run))...)
	if k.prepare != "" {
		e.MustDocker(t, "exec", "-u", "0", c.Name, "sh", "-c", k.prepare)
	}
	return c
}

// fixtures puts what the names in flags stand for in their place.
func fixtures(t *testing.T, e *engine.Engine, flags []string) []string {
	t.Helper()
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	values := map[string]func() string{
		"PROFILE": func() string { return write("profile.json", profileJSON(t)) },
		"TIGHT":   func() string { return denyingProfile(t, tight) },
		"PASSWD": func() string {
			return write("passwd", "root:x:0:0::/mounted/root:\napp:x:1000:1000::/mounted/app:\nmine:x:4711:12::/mounted/mine:\n")
		},
		"GROUP": func() string { return write("group", "root:x:0:\nextra:x:9999:app\n") },
		"OTHER": func() string { return e.Run(t, engine.Busybox, "--ipc", "shareable").Name },
	}
	flags = slices.Clone(flags)
	made := map[string]string{}
	for i, f := range flags {
		for name, value := range values {
			if !strings.Contains(f, name) {
				continue
			}
			if made[name] == "" {
				made[name] = value()
			}
			flags[i] = strings.Replace(f, name, made[name], 1)
		}
	}
	return flags
}

// flagsName is a test's name, of a length that can be read.
func flagsName(n int, flags []string) string {
	if len(flags) > 12 {
		return fmt.Sprintf("%d flags", len(flags))
	}
	if len(flags) == 0 {
		return fmt.Sprint(n)
	}
	return strings.Join(flags, " ")
}
