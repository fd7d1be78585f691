package doctor

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// masked stands for what may be a secret.
const masked = "***"

// class is a class of what a bundle does not hold.
type class string

// The classes.
const (
	ofEnvironment class = "environment"
	ofLabels      class = "labels"
	ofArguments   class = "arguments"
	ofLogOptions  class = "log options"
	ofHealthCheck class = "health checks"
	ofOptions     class = "options of volumes, networks and devices"
	ofAnnotations class = "annotations"
	ofSecrets     class = "what looks like a secret"
	ofUnknown     class = "text that dx does not know"
)

// masker masks what goes into a bundle, and notes what it has masked. The rule is that
// of a list of guests: a text is kept where dx knows its place and that it is no secret
// there, numbers and booleans of unknown places too, and nothing else.
type masker struct {
	mu    sync.Mutex // a file that is late is left alone, and may still be at work
	count map[class]int
	where map[string]map[class]int // by file of the bundle and place in it
}

func newMasker() *masker {
	return &masker{count: map[class]int{}, where: map[string]map[class]int{}}
}

// hide notes that a value is masked at a place ("config.json: process.env").
func (m *masker) hide(what class, at string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.count[what]++
	if m.where[at] == nil {
		m.where[at] = map[class]int{}
	}
	m.where[at][what]++
	return masked
}

// summary says how much of each class was masked: "3 environment, 2 labels".
func (m *masker) summary() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out []string
	for _, what := range slices.Sorted(maps.Keys(m.count)) {
		out = append(out, fmt.Sprintf("%d %s", m.count[what], what))
	}
	return strings.Join(out, ", ")
}

// list has a line for each place.
func (m *masker) list() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	var out bytes.Buffer
	fmt.Fprintf(&out, "Masked, each value as %s. Look through the rest anyway: dx does not know every secret.\n\n", masked)
	for _, at := range slices.Sorted(maps.Keys(m.where)) {
		for _, what := range slices.Sorted(maps.Keys(m.where[at])) {
			fmt.Fprintf(&out, "%s: %d %s\n", at, m.where[at][what], what)
		}
	}
	return out.Bytes()
}

// json masks a document of a known shape. What cannot be parsed is an error: nothing
// of it is kept.
func (m *masker) json(file string, doc []byte, s *shape) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber() // sizes and IDs stay what they are
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("it is no JSON (byte %d)", d.InputOffset()) // the error quotes the text
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("it is more than one JSON value")
	}
	return json.MarshalIndent(m.walk(v, s, file+": "), "", "  ")
}

// walk masks a value; s is nil where its place is not known.
func (m *masker) walk(v any, s *shape, at string) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			shown, inner := m.key(key, s, at)
			for _, taken := out[shown]; taken; _, taken = out[shown] {
				shown += "'" // several are masked
			}
			out[shown] = m.walk(v[key], inner, at+shown+".")
		}
		return out
	case []any:
		for i := range v {
			v[i] = m.walk(v[i], s, at)
		}
		return v
	case string:
		return m.text(v, s, strings.TrimSuffix(at, "."))
	case nil:
		return nil
	}
	if s != nil && s.secret() {
		return m.hide(class(s.rule), strings.TrimSuffix(at, "."))
	}
	return v
}

// plainKey is what names of fields, labels, variables, paths and ports look like.
var plainKey = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z0-9_./:@-]{1,128}$`) })

// key shows a key, and returns what is known of its value.
func (m *masker) key(key string, s *shape, at string) (string, *shape) {
	inner := s.field(key)
	if inner != nil && s.fields[strings.ToLower(key)] == inner {
		return key, inner // the shape's own word
	}
	if !plainKey().MatchString(key) {
		return m.hide(ofUnknown, at+"keys"), inner
	}
	return m.scrub(key, at+"keys"), inner
}

// text masks a text by the rule of its place.
func (m *masker) text(v string, s *shape, at string) string {
	if v == "" {
		return v
	}
	var r rule
	if s != nil {
		r = s.rule
	}
	switch r {
	case keep:
		return m.scrub(v, at)
	case rule(ofEnvironment):
		return m.variable(v, at)
	case mountOptions:
		return m.mountOptions(v, at)
	case securityOption, program:
		if pattern := ruled()[r]; pattern.MatchString(v) {
			return m.scrub(v, at)
		}
		return m.hide(ofArguments, at)
	case "":
		return m.hide(ofUnknown, at)
	}
	return m.hide(class(r), at)
}

// ruled has the patterns of the rules that go by one.
var ruled = sync.OnceValue(func() map[rule]*regexp.Regexp {
	return map[rule]*regexp.Regexp{
		program:        regexp.MustCompile(`^/?[A-Za-z0-9_.+-]+(/[A-Za-z0-9_.+-]+)*$`),
		securityOption: regexp.MustCompile(`^(no-new-privileges([:=](true|false))?|(seccomp|apparmor|label|systempaths)[:=][A-Za-z0-9_.:-]{1,64})$`),
	}
})

// variableName is what names of environment variables look like.
var variableName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]{0,63}$`) })

// variable keeps the name of an environment variable.
func (m *masker) variable(v, at string) string {
	name, _, assigned := strings.Cut(v, "=")
	value := m.hide(ofEnvironment, at)
	if !assigned || !variableName().MatchString(name) {
		return value
	}
	return m.scrub(name, at) + "=" + value
}
