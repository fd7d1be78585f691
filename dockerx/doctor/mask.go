package doctor

import (
	"bytes"
	"encoding/json"
	"strings"
)

// masked stands for a value that may be a secret.
const masked = "***"

// plainVariables are environment variables whose values are no secrets.
var plainVariables = map[string]bool{"PATH": true, "HOME": true, "HOSTNAME": true, "TERM": true, "LANG": true}

// MaskEnv replaces the values of environment variables in a JSON document: in every
// array of strings that is called env, however deep.
func MaskEnv(doc []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(doc))
	d.UseNumber() // sizes and IDs stay what they are
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	return json.MarshalIndent(maskEnv(v), "", "  ")
}

func maskEnv(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			if list, ok := inner.([]any); ok && strings.EqualFold(key, "env") {
				v[key] = maskList(list)
				continue
			}
			v[key] = maskEnv(inner)
		}
	case []any:
		for i := range v {
			v[i] = maskEnv(v[i])
		}
	}
	return v
}

func maskList(list []any) []any {
	for i := range list {
		s, ok := list[i].(string)
		if !ok {
			list[i] = maskEnv(list[i])
			continue
		}
		name, _, assigned := strings.Cut(s, "=")
		if assigned && !plainVariables[name] {
			list[i] = name + "=" + masked
		}
	}
	return list
}
