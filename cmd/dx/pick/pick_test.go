package pick

import (
	"errors"
	"io"
	"strings"
	"testing"
)

// typing gives the keys one after the other, as a terminal does.
type typing []string

func (t *typing) Read(b []byte) (int, error) {
	if len(*t) == 0 {
		return 0, io.EOF
	}
	n := copy(b, (*t)[0])
	*t = (*t)[1:]
	return n, nil
}

func TestPick(t *testing.T) {
	items := []Item{{"web", "nginx"}, {"db", "postgres"}, {"evil\x1b[2J", "x\x1b]0;"}, {"web-cache", "redis"}}
	for keys, want := range map[string]string{
		"\r":                     "web",
		"\x1b[B \r":              "", // no name has a blank
		"\x1b[B|\r":              "db",
		"\x1b[A|\r":              "web-cache",
		"c|a|c|\r":               "web-cache",
		"d|x|\x7f|\r":            "db",
		"zzz|\r|\x15|\r":         "web",
		"wb\r":                   "web",
		"\x0e|\x0e|\x10|\r":      "db",
		"\x03":                   "",
		"\x1b":                   "",
		"web|\x04":               "",
		"":                       "",
		"\x1b[B|\x1b[B|\x1bOB\r": "web-cache",
	} {
		in := typing(strings.Split(keys, "|"))
		var out strings.Builder
		got, err := newPicker(items).ask(&in, &out)
		if got.Name != want || (want == "") != errors.Is(err, ErrCancelled) {
			t.Errorf("%q: %q, %v, want %q", keys, got.Name, err, want)
		}
		if strings.Contains(out.String(), "\x1b[2J") || strings.Contains(out.String(), "\x1b]") {
			t.Errorf("%q: a name reaches the terminal raw: %q", keys, out.String())
		}
		if !strings.HasSuffix(out.String(), "\r\x1b[J") {
			t.Errorf("%q: the question is left on the screen", keys)
		}
	}
}

func TestManyItems(t *testing.T) {
	var items []Item
	for range 30 {
		items = append(items, Item{Name: strings.Repeat("日本", 50)})
	}
	p := newPicker(items)
	if text := p.screen(); strings.Count(text, "\n") != shown+1 || !strings.Contains(text, "and 20 more") {
		t.Errorf("%q", text)
	}
}
