package output

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"dx/cmd/dx/output/outputtest"
	"dx/nsops/escape"
)

// sample is a record with what records have: an ID, a text, a list.
type sample struct {
	ID    string `header:"CONTAINER ID"`
	Name  string
	Ports []string
}

func (s sample) Quiet() string { return s.ID }

func (s sample) Short() sample {
	s.ID = ShortID(s.ID)
	return s
}

var samples = []sample{
	{ID: outputtest.WebID, Name: "web", Ports: []string{"80", "443"}},
	{ID: "", Name: "a-b"},
}

func sampleTable() Table {
	return Table{Header: []string{"ID", "NAME"}, Rows: [][]Cell{Row("1", "web"), {{Text: "2"}, {Text: "db", Alert: true}}}}
}

// rendered is what Render writes to a file.
func rendered[T Record[T]](t *testing.T, o Options, records []T, tab func() Table) string {
	t.Helper()
	return outputtest.Written(t, func(f *os.File) error {
		out, err := New(f, o)
		if err != nil {
			return err
		}
		return Render(out, records, tab)
	})
}

// The expected texts of templates are what docker ps (28.2) prints for containers of
// these IDs and names.
func TestRenderFormats(t *testing.T) {
	for _, tc := range []struct {
		name string
		Options
		want string
	}{
		{"default", Options{}, "ID   NAME\n1    web\n2    db\n"},
		{"table", Options{Format: "table"}, "ID   NAME\n1    web\n2    db\n"},
		{"quiet", Options{Quiet: true}, "8e058298222c\n"},
		{"quiet, whole", Options{Quiet: true, NoTrunc: true}, outputtest.WebID + "\n"},
		{"quiet yields to json", Options{Quiet: true, Format: "json"},
			`{"ID":"` + outputtest.WebID + `","Name":"web","Ports":["80","443"]}` + "\n" + `{"ID":"","Name":"a-b","Ports":null}` + "\n"},
		{"template", Options{Format: `{{.ID}}\t{{.Name}}`}, "8e058298222c\tweb\n\ta-b\n"},
		{"template, whole", Options{Format: "{{.ID}}", NoTrunc: true}, outputtest.WebID + "\n\n"},
		{"docker's functions", Options{Format: `{{upper .Name}} {{json .Name}} {{pad .Name 1 2}}x {{truncate .Name 2}} {{title .Name}} {{lower "X"}} {{join (split .Name "-") "/"}}`},
			"WEB \"web\"  web  x we Web x web\nA-B \"a-b\"  a-b  x a- A-B x a/b\n"},
		{"json of all", Options{Format: "{{json .Ports}}"}, "[\"80\",\"443\"]\nnull\n"},
		{"table template", Options{Format: `table {{.ID}}\t{{upper .Name}}`},
			"CONTAINER ID   NAME\n8e058298222c   WEB\n               A-B\n"},
		{"header ends at range", Options{Format: `table {{.ID}}\t{{range .Ports}}<{{.}}>{{end}}`},
			"CONTAINER ID   \n8e058298222c   <80><443>\n               \n"},
	} {
		got := rendered(t, tc.Options, samples, sampleTable)
		if diff := cmp.Diff(tc.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
	}
}

func TestRenderNothing(t *testing.T) {
	header := func() Table { return Table{Header: []string{"ID", "NAME"}} }
	for format, want := range map[string]string{"": "ID   NAME\n", "json": "", "{{.ID}}": "", "table {{.ID}}": "CONTAINER ID\n"} {
		if diff := cmp.Diff(want, rendered(t, Options{Format: format}, []sample{}, header)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", format, diff)
		}
	}
}

func TestWrongTemplates(t *testing.T) {
	if _, err := New(os.Stdout, Options{Format: "{{"}); err == nil || !strings.HasPrefix(err.Error(), "failed to parse template: ") {
		t.Errorf("unclosed: %v", err)
	}
	out, err := New(outputtest.File(t), Options{Format: "{{.Foo}}"})
	if err != nil {
		t.Fatal(err)
	}
	if err := Render(out, samples, sampleTable); err == nil || !strings.HasPrefix(err.Error(), "failed to execute template: ") {
		t.Errorf("unknown field: %v", err)
	}
}

func TestHostileTextInEveryFormat(t *testing.T) {
	records := []sample{{ID: "1", Name: outputtest.Hostile}}
	tab := func() Table {
		return Table{Header: []string{"ID", outputtest.Hostile}, Rows: [][]Cell{Row("1", outputtest.Hostile)}}
	}
	if diff := cmp.Diff("ID   "+outputtest.Harmless+"\n1    "+outputtest.Harmless+"\n", rendered(t, Options{}, records, tab)); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	line := rendered(t, Options{Format: "json"}, records, tab)
	if i := strings.IndexFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return !escape.Visible(r) }); i >= 0 {
		t.Errorf("json has a control character at %d of %q", i, line)
	}
	var back sample
	if err := json.Unmarshal([]byte(line), &back); err != nil || back.Name != strings.ToValidUTF8(outputtest.Hostile, "\ufffd") {
		t.Errorf("json is %q, %v", back.Name, err)
	}
	if got := rendered(t, Options{Format: "{{.Name}}"}, records, tab); got != outputtest.Hostile+"\n" {
		t.Errorf("template to a file: %q, want it exact", got)
	}
}

// onTerminal is what render writes to a terminal.
func onTerminal(t *testing.T, o Options, records []sample, tab func() Table) string {
	t.Helper()
	ptmx, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer ptmx.Close()
	defer tty.Close()
	out, err := New(tty, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := Render(out, records, tab); err != nil {
		t.Fatal(err)
	}
	// All of it: one read may return a part. The other end is closed: EIO is the end.
	tty.Close()
	b, err := io.ReadAll(ptmx)
	if !errors.Is(err, unix.EIO) {
		t.Fatal(err)
	}
	return strings.ReplaceAll(string(b), "\r\n", "\n")
}

func TestTerminalGetsColours(t *testing.T) {
	const plain = "ID   NAME\n1    web\n2    db\n"
	for _, tc := range []struct{ term, noColor, want string }{
		{"xterm", "", "ID   NAME\n1    web\n2    \x1b[31mdb\x1b[0m\n"},
		{"xterm", "1", plain},
		{"dumb", "", plain},
		{"", "", plain},
	} {
		t.Setenv("TERM", tc.term)
		t.Setenv("NO_COLOR", tc.noColor)
		if diff := cmp.Diff(tc.want, onTerminal(t, Options{}, nil, sampleTable)); diff != "" {
			t.Errorf("TERM=%s NO_COLOR=%s (-want +got):\n%s", tc.term, tc.noColor, diff)
		}
	}
}

// TestColours: what is a terminal or not, of what kind, and by whose will. --color goes before
// the environment; of that NO_COLOR, whatever its value (no-color.org), before CLICOLOR_FORCE
// (bixense.com/clicolors).
func TestColours(t *testing.T) {
	_, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	pipe := outputtest.File(t)
	for _, c := range []struct {
		terminal        bool
		flag            string
		term, no, force string
		want            bool
	}{
		{true, "auto", "xterm", "", "", true}, {true, "", "xterm", "", "", true}, {false, "auto", "xterm", "", "", false},
		{true, "auto", "dumb", "", "", false}, {true, "auto", "", "", "", false},
		{false, "auto", "", "", "1", true}, {false, "auto", "dumb", "", "yes", true}, {false, "auto", "xterm", "", "0", false},
		{true, "auto", "xterm", "", "0", true},
		{true, "auto", "xterm", "0", "", false}, {true, "auto", "xterm", "1", "1", false}, {false, "auto", "", "x", "1", false},
		{false, "always", "", "1", "0", true}, {true, "never", "xterm", "", "1", false},
	} {
		f := pipe
		if c.terminal {
			f = tty
		}
		env := map[string]string{"TERM": c.term, "NO_COLOR": c.no, "CLICOLOR_FORCE": c.force}
		s := NewScreen(f, c.flag, func(name string) string { return env[name] })
		if s.Colour != c.want || s.Terminal != c.terminal {
			t.Errorf("%+v: colours %v, terminal %v", c, s.Colour, s.Terminal)
		}
	}
}

func TestTemplateOnTerminalIsSafe(t *testing.T) {
	got := onTerminal(t, Options{Format: `{{.Name}}\t.`}, []sample{{Name: "a\x1b[2J"}}, nil)
	if want := `a\x1b[2J`; !strings.HasPrefix(got, want) {
		t.Errorf("%q, want it to begin with %q", got, want)
	}
}

// Colours take no room: columns are as wide as what is seen.
func TestTableAlignment(t *testing.T) {
	tab := Table{Header: []string{"A", "B"}, Rows: [][]Cell{
		{{Text: "1", Alert: true}, {Text: "x"}},
		{{Text: "long one"}, {Text: "y", Alert: true}},
		{{Text: "家"}, {}},
	}}
	var b bytes.Buffer
	if err := tab.write(&b, Screen{Colour: true}); err != nil {
		t.Fatal(err)
	}
	want := "A          B\n\x1b[31m1\x1b[0m          x\nlong one   \x1b[31my\x1b[0m\n家\n"
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
