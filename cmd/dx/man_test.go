package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

var update = flag.Bool("update", false, "write docs/man and testdata")

// TestManPages keeps docs/man what the commands say of themselves. It is made here,
// so that what makes it is no part of dx.
func TestManPages(t *testing.T) {
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr}
	root := a.rootCommand("")
	for _, cmd := range append(root.Commands(), root) {
		page := manPage(t, cmd)
		file := filepath.Join("../../docs/man", strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1")
		if *update {
			if err := os.WriteFile(file, page, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		have, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(have), string(page)); diff != "" {
			t.Errorf("%s is old; make generate (-have +want):\n%s", file, diff)
		}
	}
}

func manPage(t *testing.T, cmd *cobra.Command) []byte {
	t.Helper()
	cmd.DisableAutoGenTag = true
	cmd.InitDefaultVersionFlag() // which only a run would add
	var date time.Time           // none: the page is that of this tree
	var b bytes.Buffer
	if err := doc.GenMan(cmd, &doc.GenManHeader{Section: "1", Source: "dx", Date: &date}, &b); err != nil {
		t.Fatal(err)
	}
	page := bytes.Replace(b.Bytes(), []byte(date.Format(`"Jan 2006"`)), []byte(`""`), 1)
	page = bytes.Replace(page, []byte(".SH EXAMPLE\n"), []byte(".SH EXAMPLES\n"), 1)
	return addSections(page)
}

// addSections puts what is the same for every verb before SEE ALSO, the last section.
func addSections(page []byte) []byte {
	const last = "\n.SH SEE ALSO\n"
	sections := section("EXIT STATUS", exitCodesHelp) + section("ENVIRONMENT", environmentHelp) + section("FILES", filesHelp)
	before, after, ok := strings.Cut(strings.TrimRight(string(page), "\n"), last)
	if !ok {
		return []byte(before + "\n" + sections)
	}
	return []byte(before + "\n" + sections + last + after + "\n")
}

// section sets a text as it stands (man-pages(7), roff(7)).
func section(title, text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n.", "\n\\&.").Replace(text)
	return "\n.SH " + title + "\n.nf\n" + text + "\n.fi\n"
}
