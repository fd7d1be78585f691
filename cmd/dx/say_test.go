package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
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
	f := tempFile(t)
	a := &app{err: f, out: f}
	a.say("%s", hostile)
	a.fromDaemon(hostile)
	a.result("%s", hostile)
	b, err := os.ReadFile(f.Name())
	if want := "dx: " + harmless + "\nError response from daemon: " + harmless + "\n" + harmless + "\n"; err != nil || string(b) != want {
		t.Errorf("%q, %v, want %q", b, err, want)
	}
}
