// Package strict reads JSON objects in which every word counts. What one says and nobody reads would be missing from what
// it gets: with a typing error in the key of its clause, a shape would be of the whole table.
package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// Words are what errors call an object and whoever reads it.
type Words struct {
	Object string // such as "the request"
	Reader string // such as "this endpoint"
}

// Decode reads an object, whose fields are strings, ints, and arrays of strings. A pointer to one of these is nil if the
// object does not have the key. An array of pointers to strings holds values of any type: nil for null, and JSON's own text
// of what is no string. No data is an object without any key.
func Decode[T any](data []byte, say Words) (T, error) {
	var req T
	if len(data) == 0 {
		return req, nil
	}
	if !utf8.Valid(data) {
		return req, fmt.Errorf("%s is not valid UTF-8", say.Object)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return req, fmt.Errorf("%s must be a JSON object", say.Object)
	}
	fields := fieldsOf(reflect.ValueOf(&req).Elem())
	for d.More() {
		t, err := d.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return req, say.notJSON(err)
		}
		f := fields.find(key)
		switch {
		case f == nil:
			return req, fields.unknown(key, say)
		case f.given:
			return req, fmt.Errorf("%s has %q twice", say.Object, key)
		}
		f.given = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return req, say.notJSON(err)
		}
		if halfCharacter(value) {
			return req, fmt.Errorf("%q has one half of a character that is written as two (a lone surrogate)", key)
		}
		if !f.read(value) {
			return req, fmt.Errorf("%q must be %s", key, f.want())
		}
	}
	if _, err := d.Token(); err != nil {
		return req, say.notJSON(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return req, fmt.Errorf("something stands behind %s's object", say.Object)
	}
	return req, nil
}

func (say Words) notJSON(err error) error {
	if err == nil {
		err = errors.New("a key must be a string")
	}
	return fmt.Errorf("%s is not JSON: %w", say.Object, err)
}

// field is one that a request may have.
type field struct {
	name  string
	into  any
	given bool
}

type fields []field

func fieldsOf(v reflect.Value) fields {
	out := make(fields, v.NumField())
	for i := range out {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		out[i] = field{name: name, into: v.Field(i).Addr().Interface()}
	}
	return out
}

func (f fields) find(key string) *field {
	i := slices.IndexFunc(f, func(f field) bool { return f.name == key })
	if i < 0 {
		return nil
	}
	return &f[i]
}

func (f fields) unknown(key string, say Words) error {
	if len(f) == 0 {
		return fmt.Errorf("%s does not know %q; it takes no keys at all", say.Reader, Brief(key))
	}
	names := make([]string, len(f))
	for i := range f {
		names[i] = f[i].name
		if strings.EqualFold(names[i], key) {
			return fmt.Errorf("%s does not know %q; write %q", say.Reader, key, names[i])
		}
	}
	return fmt.Errorf("%s does not know %q; it takes %s", say.Reader, Brief(key), strings.Join(names, ", "))
}

// read reads a value; false if it is of another type.
func (f *field) read(value json.RawMessage) bool {
	if string(value) == "null" {
		return false
	}
	switch into := f.into.(type) {
	case *map[string]string:
		return readMap(value, into)
	case *[]string:
		return readList(value, into)
	case **[]string:
		*into = &[]string{}
		return readList(value, *into)
	case *[]*string:
		return readValues(value, into)
	}
	return json.Unmarshal(value, f.into) == nil
}

// readList reads an array of strings; false if it is none, or has a null.
func readList(value []byte, into *[]string) bool {
	var all []*string
	if json.Unmarshal(value, &all) != nil || slices.Contains(all, nil) {
		return false
	}
	for _, s := range all {
		*into = append(*into, *s)
	}
	return true
}

// readValues reads an array of values; false if it is none.
func readValues(value []byte, into *[]*string) bool {
	var all []json.RawMessage
	if json.Unmarshal(value, &all) != nil {
		return false
	}
	for _, raw := range all {
		var text *string
		if json.Unmarshal(raw, &text) != nil { // neither a string nor null
			var compact bytes.Buffer
			if json.Compact(&compact, raw) != nil {
				return false
			}
			text = new(compact.String())
		}
		*into = append(*into, text)
	}
	return true
}

// want says what a field's value must be.
func (f *field) want() string {
	switch f.into.(type) {
	case *map[string]string:
		return "an object of strings, with no key twice"
	case *string, **string:
		return "a string"
	case *[]string, **[]string:
		return "an array of strings"
	case *[]*string:
		return "an array of values: strings, numbers, booleans, arrays, and null for NULL"
	}
	return "a whole number"
}

// BriefLen bounds what of a request is repeated in its refusal.
const BriefLen = 60

// Brief is the beginning of what was sent, as far as it is repeated in a refusal.
func Brief(s string) string {
	if len(s) <= BriefLen {
		return s
	}
	return strings.ToValidUTF8(s[:BriefLen], "") + "…"
}

// readMap reads an object of strings; false if it is none, has a null, or has a key twice.
func readMap(value []byte, into *map[string]string) bool {
	d := json.NewDecoder(bytes.NewReader(value))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return false
	}
	*into = map[string]string{}
	for d.More() {
		key, err := d.Token()
		name, isText := key.(string)
		if err != nil || !isText {
			return false
		}
		of, err := d.Token()
		text, isText := of.(string)
		if _, twice := (*into)[name]; err != nil || !isText || twice {
			return false
		}
		(*into)[name] = text
	}
	return true
}

// halfCharacter reports whether a JSON value has an escape of one half of a surrogate pair, which
// package json replaces without a word.
func halfCharacter(value []byte) bool {
	const escape = len(`\u0000`)
	for i := 0; i+1 < len(value); i++ {
		if value[i] != '\\' {
			continue
		}
		if value[i+1] != 'u' || i+escape > len(value) {
			i++
			continue
		}
		switch c := value[i+2 : i+4]; {
		case !surrogate(c):
			i += escape - 1
		case !high(c) || i+2*escape > len(value) || value[i+escape] != '\\' || value[i+escape+1] != 'u' ||
			!surrogate(value[i+escape+2:]) || high(value[i+escape+2:]):
			return true
		default:
			i += 2*escape - 1
		}
	}
	return false
}

// surrogate reports whether hex digits begin those of a half, D8 to DF, and high whether of the first one, D8 to DB.
func surrogate(hex []byte) bool { return (hex[0] == 'd' || hex[0] == 'D') && hex[1] >= '8' }
func high(hex []byte) bool      { return strings.IndexByte("89abAB", hex[1]) >= 0 }
