package execspec

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"testing"

	"dx/nsops/launch"
)

// TestProgramsInAHostilePath: an image's PATH may name a directory again and again, a
// thousand others, and one that never answers.
func TestProgramsInAHostilePath(t *testing.T) {
	var many []string
	for i := range 1000 {
		many = append(many, fmt.Sprint("/", i))
	}
	for _, test := range []struct {
		name  string
		path  []string
		names []string
		asked int
		err   error
	}{
		{"each once", []string{"/bin", "bin", "", "/bin/", "/absent", "/bin/../bin", "/usr/bin"}, []string{"/bin/x", "/usr/bin/x"}, 3, nil},
		{"none after a silent one", []string{"/bin", "/silent", "/silent/", "/usr/bin"}, []string{"/bin/x"}, 2, launch.ErrSilent},
		{"not thousands", many, nil, maxPath, nil},
	} {
		asked := 0
		names, err := programsIn(test.path, func(dir string) ([]string, error) {
			asked++
			switch dir {
			case "/absent":
				return nil, fs.ErrNotExist
			case "/silent":
				return nil, fmt.Errorf("list %s: %w", dir, launch.ErrSilent)
			}
			return []string{dir + "/x"}, nil
		})
		if asked != test.asked || !errors.Is(err, test.err) || test.names != nil && !slices.Equal(names, test.names) {
			t.Errorf("%s: %d asked, %q, %v; want %d, %q, %v", test.name, asked, names, err, test.asked, test.names, test.err)
		}
	}
}
