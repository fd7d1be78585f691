package doctor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"strings"
	"testing"
)

// documents are files as dockerd and containerd wrote them, with MARK wherever a secret
// may stand, and the shape by which they are masked.
var documents = map[string]func() *shape{
	"config.v2.json": storedShape, "hostconfig.json": hostShape, "config.json": specShape,
}

func document(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(path.Join("testdata/marked", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// mustHide fails if the marker has survived.
func mustHide(t *testing.T, what string, got []byte, marker string) {
	t.Helper()
	if i := bytes.Index(got, []byte(marker)); i >= 0 {
		t.Errorf("%s: %q survives: …%s", what, marker, got[max(0, i-200):min(len(got), i+100)])
	}
}

func TestDocumentsAreMasked(t *testing.T) {
	for name, s := range documents {
		doc := document(t, name)
		marks := strings.Count(doc, "MARK")
		m := newMasker()
		got, err := m.json(name, []byte(doc), s())
		if err != nil || marks < 3 {
			t.Fatalf("%s: %v, %d marks", name, err, marks)
		}
		mustHide(t, name, got, "MARK")
		hidden := 0
		for _, n := range m.count {
			hidden += n
		}
		if hidden < marks/2 {
			t.Errorf("%s: %d of %d marks are told: %s", name, hidden, marks, m.list())
		}
	}
}

// TestDocumentsStayOfUse: what a bug report needs is there.
func TestDocumentsStayOfUse(t *testing.T) {
	for name, wants := range map[string][]string{
		"config.v2.json":  {`"Pid": 19862`, `"PASSWORD=***"`, `"app.token": "***"`, `"Running": true`, `"Status": "starting"`, `"Path": "/busybox"`, `"Size": 12345678901234567890`, `/containers/3e0924d7dfc8`},
		"hostconfig.json": {`"Type": "json-file"`, `"tag": "***"`, `"/data:/data:ro"`, `"seccomp=unconfined"`, `"rw,size=64m"`, `"CAP_SYS_PTRACE"`},
		"config.json":     {`"CAP_CHOWN"`, `"SCMP_ACT_ALLOW"`, `"size=65536k"`, `"/docker/3e0924d7dfc8`, `"path": "/proc/31755/exe"`},
	} {
		got, err := newMasker().json(name, []byte(document(t, name)), documents[name]())
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range wants {
			if !bytes.Contains(got, []byte(want)) {
				t.Errorf("%s lacks %s:\n%s", name, want, got)
			}
		}
	}
}

func TestNoJSONPasses(t *testing.T) {
	for _, doc := range []string{`{"Env":["PASSWORD=secret"`, `{} {"a":"secret"}`, `{"a":1}secret`, `secret`, ``} {
		got, err := newMasker().json("x", []byte(doc), storedShape())
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q passes: %s %v", doc, got, err)
		}
	}
}

// TestWhatLooksLikeASecret: known forms, in a text that is otherwise kept.
func TestWhatLooksLikeASecret(t *testing.T) {
	const mark = "hunter2hunter2hunter2hunter2hunter2hunt"
	for _, text := range []string{
		"https://user:" + mark + "@example.org/x", "//user:" + mark + "@server/share", "https://" + mark + "@example.org",
		"password=" + mark, "PASSWD: " + mark, `{"db_password":"` + mark + `"}`, "MYSQL_PASS=" + mark, "my-token=" + mark, "api_key: '" + mark + " " + mark + "'",
		"aws_secret_access_key=" + mark, "--token " + mark, "-p --password " + mark, "Authorization: Basic " + mark, "authorization=Bearer " + mark, "bearer " + mark,
		"AKIA" + "ABCDEFGHIJKLMNOP", "ghp_" + mark, "github_pat_" + mark, "glpat-" + mark, "xoxb-" + mark, "https://hooks.slack.com/services/" + mark,
		"AIza" + mark, "sk_live_" + mark, "sk-" + mark, "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0." + mark, "dckr_pat_" + mark,
		"-----BEGIN RSA PRIVATE KEY-----\n" + mark + "\n" + mark + "\n-----END RSA PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\n" + mark,
	} {
		m := newMasker()
		got := m.scrub("before "+text+"\nbehind", "x")
		mustHide(t, text, []byte(got), mark)
		mustHide(t, text, []byte(got), "ABCDEFGHIJKLMNOP")
		if m.count[ofSecrets] != 1 || !strings.HasPrefix(got, "before ") || !strings.HasSuffix(got, "behind") && !strings.Contains(text, "BEGIN PRIVATE") {
			t.Errorf("%q: %q", text, got)
		}
	}
	for _, text := range []string{
		"unix:///var/run/docker.sock", "/var/lib/docker/overlay2/l/ABC:/x", "sha256:844ed802bdc80325df7c07bcaaad76f26da29e63d350b68fe4ae7b9a46f8de75",
		"registry.example.org:5000/app:1.2", "0::/user.slice/user@1000.service", "Speculation_Store_Bypass:\tthread vulnerable", "tokens", "/proc/keys ro",
	} {
		if got := newMasker().scrub(text, "x"); got != text {
			t.Errorf("%q became %q", text, got)
		}
	}
}

func TestCommandLine(t *testing.T) {
	line := strings.Join([]string{"dockerd", "--data-root", "/x", "-H", "tcp://u:MARK@h", "--exec-root=/y", "--log-opt", "splunk-token=MARK", "--label=MARK", "--registry-mirror", "https://u:MARK@h", "--live-restore", "MARK", "MARK=1", "-MARK MARK"}, "\x00")
	got := newMasker().commandLine([]byte(line+"\x00"), "x")
	want := "dockerd\n--data-root\n/x\n-H\ntcp://***@h\n--exec-root=/y\n--log-opt\n***\n--label=***\n--registry-mirror\n***\n--live-restore\n"
	if !strings.HasPrefix(string(got), want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	mustHide(t, "dockerd", got, "MARK")
}

func TestMountsAreMasked(t *testing.T) {
	text := "36 35 98:0 / /mnt rw,noatime master:1 - cifs //u:MARK@server/share rw,username=MARK,password=MARK,vers=3.0,addr=10.0.0.1\n" +
		"37 35 0:40 / /o rw - overlay overlay rw,lowerdir=/a:/b,upperdir=/c\n" +
		"MARK\n38 1 0:41 / /f rw - fuse.sshfs u:MARK@h:/x rw,user_id=0,MARK,o=MARK\n39 1 - t s MARK MARK\n"
	got := newMasker().mounts([]byte(text), "x")
	mustHide(t, "mountinfo", got[:bytes.Index(got, []byte("sshfs"))], "MARK")
	for _, want := range []string{"//***@server/share", "username=***", "vers=3.0", "lowerdir=/a:/b,upperdir=/c"} {
		if !bytes.Contains(got, []byte(want)) {
			t.Errorf("%s lacks %s", got, want)
		}
	}
}

// TestStacksStay: what a dockerd wrote is kept to the letter, and nothing else is.
func TestStacksStay(t *testing.T) {
	b, err := os.ReadFile("testdata/dockerd-20.10.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{string(b), hungDump[:strings.Index(hungDump, "\ntime=")]} {
		m := newMasker()
		if got := m.stacks([]byte(text), "x"); string(got) != text && string(got) != text+"\n" || len(m.count) > 0 {
			t.Errorf("%s\n%s", m.list(), firstDifference(string(got), text))
		}
	}
	got := newMasker().stacks([]byte("goroutine 1 [running]:\nroot:MARK:20228:0:99999:7:::\nMARK\nmain.main()\npanic: MARK\n"), "x")
	mustHide(t, "a dump", got, "MARK")
}

func firstDifference(a, b string) string {
	la, lb := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(la), len(lb)) {
		if la[i] != lb[i] {
			return fmt.Sprintf("line %d: %q, want %q", i, la[i], lb[i])
		}
	}
	return "one is longer"
}

// FuzzDocuments: a value that dx cannot know, at each place of a secret, and a field
// that dx does not know, with what may be one inside.
func FuzzDocuments(f *testing.F) {
	f.Add("QZXJ7-secret-of-it", "Unknown")
	f.Add(`q"}],"x":[{"y":"`, "Labels")
	f.Add("a=b\x00\n\u202e", "*")
	files := map[string]string{}
	for name := range documents {
		files[name] = document(f, name)
	}
	f.Fuzz(func(t *testing.T, secret, field string) {
		marker := fmt.Sprintf("QZ%xZQ", secret) // nothing of dx's own looks like it
		value, err := json.Marshal(secret + marker)
		if err != nil {
			return
		}
		for name, s := range documents {
			doc := strings.ReplaceAll(files[name], "MARK", strings.Trim(string(value), `"`))
			var whole map[string]any
			if err := json.Unmarshal([]byte(doc), &whole); err != nil {
				t.Fatal(err)
			}
			if s().field(field) == nil {
				whole[field] = map[string]any{"Name": []any{marker, map[string]any{"ID": marker, marker + " ": 1}}, "n": 7, "b": true}
			}
			data, err := json.Marshal(whole)
			if err != nil {
				t.Fatal(err)
			}
			got, err := newMasker().json(name, data, s())
			if err != nil {
				t.Fatal(err)
			}
			mustHide(t, name, got, marker)
		}
	})
}

// FuzzTexts: nothing that comes from a process or a file makes the maskers panic, and
// what they leave of a secret's usual forms is nothing.
func FuzzTexts(f *testing.F) {
	f.Add("rw,size=1", "x")
	f.Add("--data-root\x00/x", "a b")
	f.Fuzz(func(t *testing.T, before, secret string) {
		marker := fmt.Sprintf("QZ%xZQ", secret)
		m := newMasker()
		mustHide(t, "URL", []byte(m.scrub(before+" https://u:"+marker+"@h/", "x")), marker)
		mustHide(t, "assignment", []byte(m.scrub(before+" password="+marker, "x")), marker)
		mustHide(t, "options", []byte(m.mountOptions(before+",password="+marker, "x")), marker)
		mustHide(t, "arguments", m.commandLine([]byte("dockerd\x00"+strings.ReplaceAll(before, "\x00", "")+"=\x00--label\x00"+marker), "x"), marker)
		mustHide(t, "stacks", m.stacks([]byte(before+"\npanic: "+marker), "x"), marker)
		_ = m.mounts([]byte(before), "x")
		_ = m.lines([]byte(before), "x")
		_ = m.list()
		_ = m.summary()
	})
}
