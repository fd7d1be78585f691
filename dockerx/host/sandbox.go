package host

import (
	"path"
	"strings"
)

// sandboxes are runtimes behind whose processes there is another kernel.
var sandboxes = []string{"runsc", "gvisor", "kata", "krun", "runv", "firecracker", "wasm", "runj"}

// Sandbox returns the name of the runtime, if that runs its containers behind a kernel of
// its own; else nothing. By the name of the shim (containerd-shim-runsc-v1,
// containerd-shim-kata-v2), by the runtime that the shim was told to run (options.json), and
// by conmon's.
func (b *Bundle) Sandbox() string {
	if b.record != nil {
		return sandboxOf(b.record.runtime)
	}
	if exe, err := b.Shim.Readlink("exe"); err == nil {
		if name := sandboxOf(path.Base(cutDeleted(exe))); name != "" {
			return name
		}
	}
	name, err := parseOptions(b, parseBinaryName)
	if err != nil {
		return ""
	}
	return sandboxOf(path.Base(name))
}

// sandboxOf returns which sandbox a program's name is that of.
func sandboxOf(program string) string {
	program = strings.TrimPrefix(program, "containerd-shim-")
	for _, name := range sandboxes {
		if strings.HasPrefix(program, name) {
			return name
		}
	}
	return ""
}

// parseBinaryName parses options.json, and returns the runtime that the shim runs; empty:
// its default.
func parseBinaryName(b []byte) (string, error) {
	var o struct {
		BinaryName string `json:"binary_name"`
	}
	err := decode(b, &o)
	return o.BinaryName, err
}
