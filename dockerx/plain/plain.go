// Package plain reads JSON as engines and runtimes write it, without reflection:
// encoding/json makes a table for every type below the one that it decodes, at each start
// of dx, which takes longer than the decoding.
//
// Whatever else JSON may be is left to encoding/json, so that a text means the same as it
// does to dockerd and runc: a key that comes twice or in another case, a number that does
// not fit, a text where a number is expected. Read then reports false, and nothing that it
// has stored counts.
package plain

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Reader is at a value of a text.
type Reader struct {
	text []byte
	at   int
	odd  bool // something is there that is for encoding/json
}

// Field is a key of an object and where its value goes: a pointer, or a func(*Reader) that
// reads it. What is null is left as it is.
type Field struct {
	Key string
	To  any
}

// Read reads a text of one value. It reports false where encoding/json has to read it, and
// say what is wrong with it, if anything is.
func Read(text []byte, value func(*Reader)) bool {
	if !json.Valid(text) {
		return false
	}
	r := &Reader{text: text}
	value(r)
	return !r.odd
}

// Object reads an object, or null. Keys that are not asked for are passed over.
func (r *Reader) Object(fields ...Field) {
	var seen uint64
	r.members(func(key []byte) {
		if i, known := r.find(fields, string(key), seen); known {
			seen |= 1 << i
			r.into(fields[i].To)
		} else if !r.odd {
			r.value()
		}
	})
}

// find looks a key up. encoding/json takes one in another case as well, if there is no
// better one.
func (r *Reader) find(fields []Field, key string, seen uint64) (at int, known bool) {
	folded := false
	for i := range fields {
		if !strings.EqualFold(fields[i].Key, key) {
			continue
		}
		folded = true
		r.odd = r.odd || seen&(1<<i) != 0
		if fields[i].Key == key {
			at, known = i, true
		}
	}
	r.odd = r.odd || folded && !known
	return at, known && !r.odd
}

// Entries reads an object with any keys, or null. Of a key that comes twice the last value
// counts.
func (r *Reader) Entries(member func(key string)) {
	r.members(func(key []byte) { member(string(key)) })
}

func (r *Reader) members(member func(key []byte)) {
	if r.Null() || !r.begin('{') {
		return
	}
	for !r.end('}') {
		key := r.key()
		if r.peek() != ':' {
			r.odd = true
		}
		r.at++
		if !r.odd {
			member(key)
		}
	}
}

// Elements reads an array: element reads one.
func (r *Reader) Elements(element func()) {
	if !r.begin('[') {
		return
	}
	for !r.end(']') {
		element()
	}
}

// Null reads a null, if there is one.
func (r *Reader) Null() bool {
	r.space()
	if !bytes.HasPrefix(r.text[r.at:], []byte("null")) {
		return false
	}
	r.at += len("null")
	return true
}

// Text reads a string; of null it is empty.
func (r *Reader) Text() string {
	if r.Null() {
		return ""
	}
	return string(r.key())
}

// into stores a value by a pointer.
func (r *Reader) into(to any) {
	if r.Null() {
		return
	}
	switch to := to.(type) {
	case func(*Reader):
		to(r)
	case *string:
		*to = r.Text()
	case *bool:
		*to = r.bool()
	case *[]string:
		Texts(to)(r)
	case *map[string]string:
		*to = map[string]string{}
		r.Entries(func(key string) { (*to)[key] = r.Text() })
	case *int:
		*to = int(r.signed(strconv.IntSize))
	case *int64:
		*to = r.signed(64)
	case *uint:
		*to = uint(r.unsigned(strconv.IntSize))
	case *uint16:
		*to = uint16(r.unsigned(16))
	case *uint32:
		*to = uint32(r.unsigned(32))
	case *uint64:
		*to = r.unsigned(64)
	case json.Unmarshaler:
		r.odd = r.odd || to.UnmarshalJSON(r.value()) != nil
	default: // rare
		r.odd = r.odd || json.Unmarshal(r.value(), to) != nil
	}
}

// Text stores a string of whatever type.
func Text[T ~string](to *T) func(*Reader) {
	return func(r *Reader) { *to = T(r.Text()) }
}

// Texts stores a list of strings.
func Texts[T ~string](to *[]T) func(*Reader) {
	return func(r *Reader) {
		*to = []T{}
		r.Elements(func() { *to = append(*to, T(r.Text())) })
	}
}

// List stores a list of objects or numbers, each read by a function.
func List[T any](to *[]T, read func(*Reader, *T)) func(*Reader) {
	return func(r *Reader) {
		*to = []T{}
		one := func() {
			var element T
			if !r.Null() {
				read(r, &element)
			}
			*to = append(*to, element)
		}
		r.Elements(one)
	}
}

// Pointer stores an object, read by a function, behind a pointer.
func Pointer[T any](to **T, read func(*Reader, *T)) func(*Reader) {
	return func(r *Reader) {
		*to = new(T)
		read(r, *to)
	}
}

// Number stores a number.
func Number[T ~uint | ~uint32 | ~uint64 | ~int | ~int64](r *Reader, to *T) { r.into(any(to)) }

func (r *Reader) signed(bits int) int64 {
	n, err := strconv.ParseInt(string(r.number()), 10, bits)
	r.odd = r.odd || err != nil
	return n
}

func (r *Reader) unsigned(bits int) uint64 {
	n, err := strconv.ParseUint(string(r.number()), 10, bits)
	r.odd = r.odd || err != nil
	return n
}

// number reads what may be one: no text, list or object.
func (r *Reader) number() []byte {
	switch r.peek() {
	case '"', '{', '[':
		r.odd = true
	}
	return r.value()
}

func (r *Reader) bool() bool {
	switch string(r.value()) {
	case "true":
		return true
	case "false":
	default:
		r.odd = true
	}
	return false
}

// key reads a string as it is in memory.
func (r *Reader) key() []byte {
	if r.peek() != '"' {
		r.odd = true
		return nil
	}
	quoted := r.value()
	inside := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(inside, '\\') < 0 && utf8.Valid(inside) {
		return inside
	}
	var text string
	r.odd = r.odd || json.Unmarshal(quoted, &text) != nil
	return []byte(text)
}

// value passes over a value and returns it.
func (r *Reader) value() []byte {
	r.space()
	begin := r.at
	switch r.peek() {
	case 0:
		r.odd = true
	case '"':
		r.quoted()
	case '{', '[':
		r.nested()
	default: // a number, true, false, null
		for r.at < len(r.text) && strings.IndexByte(",]} \t\r\n", r.text[r.at]) < 0 {
			r.at++
		}
	}
	return r.text[begin:min(r.at, len(r.text))]
}

// nested passes over an object or an array.
func (r *Reader) nested() {
	for depth := 0; r.at < len(r.text); {
		switch r.text[r.at] {
		case '"':
			r.quoted()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		if r.at++; depth == 0 {
			return
		}
	}
}

// quoted passes over a string.
func (r *Reader) quoted() {
	for r.at++; r.at < len(r.text) && r.text[r.at] != '"'; r.at++ {
		if r.text[r.at] == '\\' {
			r.at++
		}
	}
	r.at++
}

func (r *Reader) space() {
	for r.at < len(r.text) {
		switch r.text[r.at] {
		case ' ', '\t', '\r', '\n':
			r.at++
		default:
			return
		}
	}
}

// peek is the next character; 0: there is none.
func (r *Reader) peek() byte {
	if r.space(); r.at < len(r.text) {
		return r.text[r.at]
	}
	return 0
}

func (r *Reader) begin(c byte) bool {
	if r.peek() != c {
		r.odd = true
		return false
	}
	r.at++
	return true
}

// end reports whether an object or array is over, or is not to be read on.
func (r *Reader) end(c byte) bool {
	next := r.peek()
	if next == ',' {
		r.at++
		next = r.peek()
	}
	if next == c {
		r.at++
		return true
	}
	r.odd = r.odd || next == 0
	return r.odd
}
