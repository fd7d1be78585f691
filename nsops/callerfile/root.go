package callerfile

import (
	"fmt"
	"path/filepath"

	"dx/nsops/launch"
)

// FindRoot finds the directory that is to be a new root: its path without links, and
// whether it has a place for a /dev.
func FindRoot(dir string) (path string, dev bool, err error) {
	var d launch.Deputy
	defer d.Close()
	root, err := Look(&d, dir, true)
	if err != nil {
		return "", false, fmt.Errorf("the new root: %w", err)
	}
	if !root.IsDir() {
		return "", false, fmt.Errorf("the new root %s is not a directory", root.Path)
	}
	place, err := Look(&d, filepath.Join(root.Path, "dev"), false)
	return root.Path, err == nil && place.IsDir(), nil
}
