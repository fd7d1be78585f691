package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVersion: the flags that a user of docker tries first.
func TestVersion(t *testing.T) {
	for _, args := range [][]string{{"--version"}, {"-v"}} {
		name := filepath.Join(t.TempDir(), "out")
		out, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		defer out.Close()
		code := run(args, os.Stdin, out, out)
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if code != 0 || !strings.HasPrefix(string(text), "dx version ") {
			t.Errorf("dx %q: %d, %q", args, code, text)
		}
	}
}
