package engine

import (
	"fmt"
	"os"
	"path/filepath"
)

// remapUser owns the subordinate ids of --userns-remap. It exists only in the
// engine's mount namespace: the host's own files are not touched.
const remapUser = "dxremap"

// RemapBase is the host's uid and gid of root in a remapped container.
const RemapBase = 200000

// remapFiles writes copies of the account files with remapUser in them, and says
// where they are to be mounted.
func remapFiles(dir string) (map[string]string, error) {
	lines := map[string]string{
		"/etc/passwd": remapUser + ":x:20001:20001::/:/bin/false\n",
		"/etc/group":  remapUser + ":x:20001:\n",
		"/etc/subuid": fmt.Sprintf("%s:%d:65536\n", remapUser, RemapBase),
		"/etc/subgid": fmt.Sprintf("%s:%d:65536\n", remapUser, RemapBase),
	}
	binds := map[string]string{}
	for target, line := range lines {
		old, err := os.ReadFile(target)
		if err != nil {
			return nil, err
		}
		file := filepath.Join(dir, filepath.Base(target))
		if err := os.WriteFile(file, append(old, line...), 0o644); err != nil {
			return nil, err
		}
		binds[target] = file
	}
	return binds, nil
}
