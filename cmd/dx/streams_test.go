package main

import (
	"os"
	"path/filepath"
	"testing"

	"dx/cmd/dx/output"
)

const webID = "8e058298222ce2e12fe1bd7ae2745f392dc53b175e5bd6203def5ac97761aa6c"

// A text that wants to reach the terminal, and what becomes of it.
const (
	hostile  = "a\x1b[2Jb\r\nc\u009bd\u202ee\x7ff\xffg"
	harmless = `a\x1b[2Jb\r\nc\u009bd\u202ee\x7ff\xffg`
)

// rendered is what records are in a file.
func rendered[T output.Record[T]](t *testing.T, o output.Options, records []T, table func() output.Table) string {
	t.Helper()
	f := tempFile(t)
	out, err := output.New(f, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := output.Render(out, records, table); err != nil {
		t.Fatal(err)
	}
	return content(t, f)
}

func tempFile(t *testing.T) *os.File {
	t.Helper()
	f, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func content(t *testing.T, f *os.File) string {
	t.Helper()
	b, err := os.ReadFile(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
