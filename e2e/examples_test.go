package e2e

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"dx/e2e/engine"
)

// endings are exit codes that are answers, by verb: "differs", "belongs to none", a sick engine
// of this machine.
var endings = map[string]int{"diff": 1, "who": 1, "doctor": 2}

// elsewhere are examples that have tests of their own: those without an end and those of a
// terminal or a browser; and those of all containers or all users, which are not this test's.
var elsewhere = regexp.MustCompile(` (--watch|-it|--open|--all|--system)\b`)

// TestExamplesRun runs each example of the help as it stands, on containers in the places of web
// and db.
func TestExamplesRun(t *testing.T) {
	e := suite.Engine(t, engine.Host)
	web, db := e.Run(t, engine.Busybox), e.Run(t, engine.Busybox)
	text, err := os.ReadFile("../cmd/dx/examples.txt")
	if err != nil {
		t.Fatal(err)
	}
	name := regexp.MustCompile(`\b(web|db)\b`)
	dir, dx := t.TempDir(), strings.Join(e.DxArgs(t), " ")
	for paragraph := range strings.SplitSeq(string(text), "\n\n") {
		verb, examples, _ := strings.Cut(paragraph, "\n")
		for line := range strings.Lines(examples) {
			command, _, _ := strings.Cut(line, "  #")
			command = strings.TrimSpace(command)
			if !strings.HasPrefix(command, "dx ") || elsewhere.MatchString(command) {
				continue
			}
			here := name.ReplaceAllStringFunc(command, func(s string) string { return map[string]string{"web": web.Name, "db": db.Name}[s] })
			here = dx + strings.TrimPrefix(here, "dx")
			r := e.Do(t, engine.Command{Args: []string{"sh", "-c", "cd " + dir + " && " + here}, Stdin: strings.NewReader("")})
			if r.Code > endings[verb] {
				t.Errorf("%s: %v", command, r)
			}
		}
	}
}
