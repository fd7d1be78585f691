// Package plaintest compares readers of package plain with encoding/json, which they stand
// in for.
package plaintest

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"dx/dockerx/plain"
)

// Same reads a text both ways. Where the reader takes it, encoding/json has to say the same.
// It returns whether the reader did.
func Same[T any](t *testing.T, text []byte, read func(*T, *plain.Reader)) bool {
	t.Helper()
	var got, want T
	if !plain.Read(text, func(r *plain.Reader) { read(&got, r) }) {
		return false
	}
	if err := json.Unmarshal(text, &want); err != nil {
		t.Errorf("%q is read, for encoding/json it is: %v", text, err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%q (-encoding/json +plain):\n%s", text, diff)
	}
	return true
}

// Filled is the JSON of a T in which no field is zero: a reader that lacks one shows.
func Filled[T any](t *testing.T) []byte {
	t.Helper()
	var v T
	fill(reflect.ValueOf(&v).Elem())
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1700000000, 5).UTC()))
			return
		}
		for i := range v.NumField() {
			fill(v.Field(i))
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		fill(v.Index(0))
		fill(v.Index(1))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		value := reflect.New(v.Type().Elem()).Elem()
		fill(value)
		v.SetMapIndex(reflect.ValueOf("a \"key\"").Convert(v.Type().Key()), value)
	case reflect.String:
		v.SetString("some <text>\u2028é")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Int, reflect.Int32, reflect.Int64:
		v.SetInt(-7)
	case reflect.Uint16:
		v.SetUint(60000)
	case reflect.Uint, reflect.Uint32, reflect.Uint64:
		v.SetUint(4000000000)
	default:
		panic("plaintest: fill in a " + v.Type().String())
	}
}
