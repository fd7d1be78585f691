package engine

import (
	"encoding/json"
	"path/filepath"
	"slices"

	"dx/nsops/callerfile"
)

// Contexts returns the names of docker's contexts, of those that can be read, and
// "default".
func Contexts(getenv func(string) string) []string {
	names := []string{"default"}
	files, _ := filepath.Glob(filepath.Join(configDir(getenv), "contexts", "meta", "*", "meta.json"))
	for _, file := range files {
		var meta struct{ Name string }
		b, err := callerfile.Read(file, maxConfig)
		if err == nil && json.Unmarshal(b, &meta) == nil && meta.Name != "" {
			names = append(names, meta.Name)
		}
	}
	slices.Sort(names)
	return names
}
