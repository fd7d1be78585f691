package plain_test

import (
	"testing"

	"dx/dockerx/plain"
	"dx/dockerx/plain/plaintest"
)

// thing has a field of each kind.
type thing struct {
	Text    string
	Flag    bool
	Number  int
	Long    int64
	Small   uint32
	Big     uint64
	Maybe   *uint32
	List    []string
	Numbers []uint32
	Things  []struct{ Text string }
	Map     map[string]string
	Rare    *struct{ Text string }
}

func read(t *thing, r *plain.Reader) {
	r.Object([]plain.Field{
		{Key: "Text", To: &t.Text}, {Key: "Flag", To: &t.Flag}, {Key: "Number", To: &t.Number}, {Key: "Long", To: &t.Long},
		{Key: "Small", To: &t.Small}, {Key: "Big", To: &t.Big}, {Key: "Maybe", To: plain.Pointer(&t.Maybe, plain.Number[uint32])},
		{Key: "List", To: &t.List}, {Key: "Numbers", To: plain.List(&t.Numbers, plain.Number[uint32])},
		{Key: "Things", To: plain.List(&t.Things, func(r *plain.Reader, s *struct{ Text string }) {
			r.Object(plain.Field{Key: "Text", To: &s.Text})
		})},
		{Key: "Map", To: &t.Map}, {Key: "Rare", To: &t.Rare},
	}...)
}

// plainly are texts that need no encoding/json.
var plainly = []string{
	`{}`, `null`, ` { "Text" : "a" , "Number" : -1 } `, `{"Text":"\u00e9\n\ud83d\ude00","x":{"Text":["{\"",{}]},"y":-1.5e3,"z":true}`,
	`{"Text":null,"Flag":null,"Number":null,"Maybe":null,"List":null,"Map":null,"Rare":null,"Things":null}`,
	`{"List":[],"Map":{},"Things":[],"Numbers":[]}`, `{"List":["a",null],"Things":[null,{"Text":"b"}],"Numbers":[null,3]}`,
	`{"Map":{"a":"1","a":"2","b":null,"\u0041":"3"}}`, `{"Maybe":7,"Rare":{"text":"x"},"Flag":true,"Big":18446744073709551615}`,
	"{\"Text\":\"\xff\"}", `{"":1}`,
}

// oddly are those that are for encoding/json: some are wrong, others mean something there.
var oddly = []string{
	``, `{`, `{"Text":"a"}x`, `{"Text":1}`, `{"Text":"a","Text":"b"}`, `{"text":"a"}`, `{"Text":"a","TEXT":"b"}`, `{"Map":{"a":1}}`,
	`{"Number":1.0}`, `{"Number":1e2}`, `{"Small":-1}`, `{"Small":4294967296}`, `{"Number":"1"}`, `{"Flag":"true"}`, `{"Flag":1}`,
	`{"List":"a"}`, `{"List":[1]}`, `{"List":{}}`, `{"Map":[]}`, `{"Things":[1]}`, `{"Rare":1}`, `[]`, `1`, `"a"`, `{"Numbers":[""]}`,
}

func TestRead(t *testing.T) {
	for _, text := range append(plainly, string(plaintest.Filled[thing](t))) {
		if !plaintest.Same(t, []byte(text), read) {
			t.Errorf("%s is left to encoding/json", text)
		}
	}
	for _, text := range oddly {
		if plaintest.Same(t, []byte(text), read) {
			t.Errorf("%s is not left to encoding/json", text)
		}
	}
}

func FuzzRead(f *testing.F) {
	for _, text := range append(plainly, oddly...) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) { plaintest.Same(t, text, read) })
}
