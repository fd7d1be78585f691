// Package outputtest is what tests of printed text have in common: a file to print to,
// and a text that wants to reach the terminal.
package outputtest

import (
	"os"
	"path/filepath"
	"testing"
)

// WebID is a container's ID.
const WebID = "8e058298222ce2e12fe1bd7ae2745f392dc53b175e5bd6203def5ac97761aa6c"

// A text that wants to reach the terminal, and what becomes of it.
const (
	Hostile  = "a\x1b[2Jb\r\nc\u009bd\u202ee\x7ff\xffg"
	Harmless = `a\x1b[2Jb\r\nc\u009bd\u202ee\x7ff\xffg`
)

// File returns an empty file, which is closed at the end of the test.
func File(t testing.TB) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// Content returns what was written to a file.
func Content(t testing.TB, f *os.File) string {
	t.Helper()
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Written returns what write writes to a file.
func Written(t testing.TB, write func(*os.File) error) string {
	t.Helper()
	f := File(t)
	if err := write(f); err != nil {
		t.Fatal(err)
	}
	return Content(t, f)
}
