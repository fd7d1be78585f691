package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

func helpOf(t *testing.T, verb string, width int) string {
	t.Helper()
	root := (&app{out: os.Stdout}).rootCommand("")
	root.InitDefaultHelpCmd()
	cmd := root
	if verb != "" {
		var err error
		if cmd, _, err = root.Find([]string{verb}); err != nil {
			t.Fatal(err)
		}
	}
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	_ = cmd.ParseFlags(nil) // which adds the flags of the root
	text := cmd.Long
	if text == "" {
		text = cmd.Short
	}
	return wrapText(text, width) + "\n\n" + usageText(cmd, width)
}

// TestHelpBesideManPages is written with them (-run ManPages -update): what people see, on a pipe and on narrow and wide terminals.
func TestHelpBesideManPages(t *testing.T) {
	for _, c := range []struct {
		verb  string
		width int
	}{{"", 80}, {"", 50}, {"top", 80}, {"top", 50}, {"who", 60}, {"who", 200}, {"plugin", 80}} {
		name := fmt.Sprintf("%s-%d", c.verb, c.width)
		if c.verb == "" {
			name = fmt.Sprintf("dx-%d", c.width)
		}
		file := filepath.Join("testdata", "help", name)
		got := helpOf(t, c.verb, c.width)
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestHelpFits: no line of any verb's help is wider than the terminal, but for commands that
// are to be pasted.
func TestHelpFits(t *testing.T) {
	var verbs []*cobra.Command
	root := (&app{out: os.Stdout}).rootCommand("")
	verbs = append(verbs, root.Commands()...)
	for _, width := range []int{60, 80, 120} {
		for _, cmd := range verbs {
			before, rest, _ := strings.Cut(helpOf(t, cmd.Name(), width), "\nExamples:\n")
			_, after, _ := strings.Cut(rest, "\n\n")
			for line := range strings.Lines(before + after) {
				if line = strings.TrimSuffix(line, "\n"); len([]rune(line)) > width {
					t.Errorf("%s at %d columns: %q", cmd.Name(), width, line)
				}
			}
		}
	}
}

func TestWrapText(t *testing.T) {
	for _, c := range []struct {
		text  string
		width int
		want  string
	}{
		{"one two three\nfour\n\nfive", 9, "one two\nthree\nfour\n\nfive"},
		{"  a  long words here", 12, "  a  long\n     words\n     here"},
		{"  a b c  long", 80, "  a b c  long"},
		{"  verylongfirstcolumn  x y", 20, "  verylongfirstcolumn\n      x y"},
		{"  4711  pid:4711     a process by its PID", 33, "  4711  pid:4711     a process by\n                     its PID"},
		{"", 10, ""},
		{"unbreakablelongword", 5, "unbreakablelongword"},
	} {
		if got := wrapText(c.text, c.width); got != c.want {
			t.Errorf("%q at %d:\n%s\nwant\n%s", c.text, c.width, got, c.want)
		}
	}
}
