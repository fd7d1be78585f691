package tools

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func writeFile(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestOpen: a program, an archive, and the same compressed, each as a tree that has
// the program.
func TestOpen(t *testing.T) {
	script := []byte("#!/bin/sh\necho it runs\n")
	var b, zipped bytes.Buffer
	w := tar.NewWriter(&b)
	if err := errors.Join(
		w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: "bin/tool", Mode: 0o755, Size: int64(len(script))}),
		func() error { _, err := w.Write(script); return err }(),
		w.Close(),
	); err != nil {
		t.Fatal(err)
	}
	zip := gzip.NewWriter(&zipped)
	if _, err := zip.Write(b.Bytes()); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"tool": script, "tools.tar": b.Bytes(), "tools.tar.gz": zipped.Bytes()} {
		t.Run(name, func(t *testing.T) {
			path := writeFile(t, name, content)
			tr := tree(t, func() (*Tree, error) { return Open(path) })
			at, ok := tr.Find("tool")
			b, err := os.ReadFile(fmt.Sprintf("/proc/self/fd/%d/%s", tr.File.Fd(), at))
			if !ok || err != nil || !bytes.Equal(b, script) {
				t.Errorf("the tool of %s, found: %v, is %q, %v, want %q", name, ok, b, err, script)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		fifo:                                "neither a directory nor a regular file",
		"/dev/null":                         "neither a directory nor a regular file",
		writeFile(t, "short", []byte("ab")): "too short",
		filepath.Join(t.TempDir(), "not", "here"): "no such file",
	} {
		if tr, err := Open(path); err == nil {
			tr.Close()
			t.Errorf("%s is taken", path)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	sh, err := exec.LookPath("bash")
	if err != nil {
		t.Skip(err)
	}
	var dynamic *DynamicError
	if _, err := Open(sh); !errors.As(err, &dynamic) || !strings.Contains(dynamic.Loader, "ld") {
		t.Errorf("%s: %v, want a DynamicError with its loader", sh, err)
	}
}

func TestOpenNoArchive(t *testing.T) {
	needRoot(t)
	path := writeFile(t, "text", []byte(strings.Repeat("this is no archive\n", 100)))
	if tr, err := Open(path); err == nil {
		tr.Close()
		t.Error("a text is taken for an archive")
	}
}
