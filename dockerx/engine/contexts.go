package engine

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
)

// Contexts returns the names of docker's contexts, of those that can be read, and
// "default".
func Contexts(getenv func(string) string) []string {
	names := []string{"default"}
	for _, s := range storesOf(getenv, os.Geteuid()) {
		files, _ := filepath.Glob(filepath.Join(s.dir, "contexts", "meta", "*", "meta.json"))
		for _, file := range files {
			var meta struct{ Name string }
			b, err := s.read(file)
			if err == nil && json.Unmarshal(b, &meta) == nil && meta.Name != "" {
				names = append(names, meta.Name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
