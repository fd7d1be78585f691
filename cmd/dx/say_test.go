package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"dx/cmd/dx/output/outputtest"
)

// TestOnePlaceForWords: nothing but say.go writes to the streams, so that no text can
// miss being escaped; a result goes through an output, whose rules cmd/dx/output has.
func TestOnePlaceForWords(t *testing.T) {
	direct := regexp.MustCompile(`Fprint\w*\(\w+\.(err|out)\b|\.err\.Write`)
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		if file == "say.go" || strings.HasSuffix(file, "_test.go") {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range direct.FindAllString(string(b), -1) {
			t.Errorf("%s: %s: see say.go", file, found)
		}
	}
}

func TestSayIsOneLine(t *testing.T) {
	f := outputtest.File(t)
	a := &app{err: f, out: f}
	a.say("%s", outputtest.Hostile)
	a.fromDaemon(outputtest.Hostile)
	a.result("%s", outputtest.Hostile)
	b, err := os.ReadFile(f.Name())
	if want := "dx: " + outputtest.Harmless + "\nError response from daemon: " + outputtest.Harmless + "\n" + outputtest.Harmless + "\n"; err != nil || string(b) != want {
		t.Errorf("%q, %v, want %q", b, err, want)
	}
}
