package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func topCommand(t *testing.T, words ...string) (*cobra.Command, topWords, error) {
	t.Helper()
	cmd, args, err := (&app{}).rootCommand("").Find(append([]string{"top"}, words...))
	if err == nil {
		err = cmd.ParseFlags(args)
	}
	if err != nil {
		return cmd, topWords{}, err
	}
	w, err := takeTopWords(cmd.Flags(), cmd.Flags().Args())
	return cmd, w, err
}

// TestTopWords: what is a container, an option of dx top, and one of ps.
func TestTopWords(t *testing.T) {
	for line, want := range map[string]string{
		"web":                              "[web] []",
		"web db":                           "[web db] []",
		"web aux":                          "[web] [aux]",
		"aux":                              "[aux] []",
		"web db axo pid,cmd":               "[web db] [axo pid,cmd]",
		"web -o pid,cmd --sort -rss":       "[web] [-o pid,cmd --sort -rss]",
		"web aux --sort -rss":              "[web] [aux --sort -rss]",
		"web -q":                           "[web] [-q]",
		"web -- db":                        "[web] [db]",
		"web --forest":                     "[web] [--forest]",
		"--sort rss web db":                "[web db] [] sort=rss",
		"web --sort rss db":                "[web db] [] sort=rss",
		"web --sort=rss --tree -ef":        "[web] [-ef] sort=rss tree=true",
		"web --source host aux --no-trunc": "[web] [aux --no-trunc] source=host",
	} {
		cmd, w, err := topCommand(t, strings.Fields(line)...)
		got := fmt.Sprintf("%s %s", w.refs, w.ps)
		for _, name := range []string{"sort", "tree", "source", "no-trunc"} {
			if f := cmd.Flags().Lookup(name); f.Changed {
				got += " " + name + "=" + f.Value.String()
			}
		}
		if err != nil || got != want {
			t.Errorf("dx top %s: %s, %v, want %s", line, got, err, want)
		}
	}
	if _, w, err := topCommand(t, "web", "--sort", "size"); err == nil {
		t.Errorf("a wrong value behind the container is taken: %v", w)
	}
}

func TestPSLetters(t *testing.T) {
	for word, want := range map[string]bool{
		"aux": true, "axo": true, "ef": true, "f": true, "auxww": true, "axjf": true,
		"web": false, "db": false, "nginx": false, "oax": false, "": false, "1234": false, "a-x": false, "app": false,
	} {
		if isPSLetters(word) != want {
			t.Errorf("%q is letters of ps: %v, want %v", word, !want, want)
		}
	}
}

// TestRefresher: a terminal of 20 columns and 5 lines, which becomes narrower.
func TestRefresher(t *testing.T) {
	var b bytes.Buffer
	width := 20
	r := refresher{out: &b, size: func() (int, int) { return width, 5 }}
	drawn := func(text string) string {
		t.Helper()
		b.Reset()
		if err := r.draw(text); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	const rest = clearRest + wrap
	for _, c := range []struct{ text, want string }{
		{"one\ntwo\n", noWrap + "one" + clearLine + "two" + clearLine + rest},
		{"three\n", "\r\x1b[2A" + noWrap + "three" + clearLine + rest},
		{"1\n2\n3\n4\n5\n6\n", "\r\x1b[1A" + noWrap + "1" + clearLine + "2" + clearLine + "3" + clearLine + "… 3 more" + clearLine + rest},
	} {
		if got := drawn(c.text); got != c.want {
			t.Errorf("%q is drawn as %q, want %q", c.text, got, c.want)
		}
	}
	width = 10
	if got, want := drawn("x\n"), clearAll+noWrap+"x"+clearLine+rest; got != want {
		t.Errorf("in another width %q, want %q", got, want)
	}
}
