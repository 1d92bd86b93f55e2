package plane

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

	"github.com/shapebus/shapebus/pkg/control"
)

// Requests are read strictly. What a request says and nobody reads would be missing from what it gets: with a typing
// error in the key of its clause, a shape would be of the whole table.

func badRequest(format string, args ...any) *requestError {
	return &requestError{control.CodeBadRequest, fmt.Sprintf(format, args...)}
}

// decode reads a request, whose fields are strings, ints, and arrays of strings, with nulls where
// the type has pointers. An empty body is a request without any field.
func decode[T any](data []byte) (T, error) {
	var req T
	if len(data) == 0 {
		return req, nil
	}
	if !utf8.Valid(data) {
		return req, badRequest("the request is not valid UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return req, badRequest("the request must be a JSON object")
	}
	fields := fieldsOf(reflect.ValueOf(&req).Elem())
	for d.More() {
		t, err := d.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return req, notJSON(err)
		}
		f := fields.find(key)
		switch {
		case f == nil:
			return req, fields.unknown(key)
		case f.given:
			return req, badRequest("the request has %q twice", key)
		}
		f.given = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return req, notJSON(err)
		}
		if halfCharacter(value) {
			return req, badRequest("%q has one half of a character that is written as two (a lone surrogate)", key)
		}
		if !f.read(value) {
			return req, badRequest("%q must be %s", key, f.want())
		}
	}
	if _, err := d.Token(); err != nil {
		return req, notJSON(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return req, badRequest("something stands behind the request's object")
	}
	return req, nil
}

func notJSON(err error) error {
	if err == nil {
		err = errors.New("a key must be a string")
	}
	return badRequest("the request is not JSON: %v", err)
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

func (f fields) unknown(key string) error {
	if len(f) == 0 {
		return badRequest("this endpoint does not know %q; it takes no keys at all", brief(key))
	}
	names := make([]string, len(f))
	for i := range f {
		names[i] = f[i].name
		if strings.EqualFold(names[i], key) {
			return badRequest("this endpoint does not know %q; write %q", key, names[i])
		}
	}
	return badRequest("this endpoint does not know %q; it takes %s", brief(key), strings.Join(names, ", "))
}

// read reads a value; false if it is of another type.
func (f *field) read(value json.RawMessage) bool {
	if string(value) == "null" {
		return false
	}
	if list, ok := f.into.(*[]string); ok {
		var all []*string
		if json.Unmarshal(value, &all) != nil || slices.Contains(all, nil) {
			return false
		}
		for _, s := range all {
			*list = append(*list, *s)
		}
		return true
	}
	return json.Unmarshal(value, f.into) == nil
}

// want says what a field's value must be.
func (f *field) want() string {
	switch f.into.(type) {
	case *string:
		return "a string"
	case *[]string:
		return "an array of strings"
	case *[]*string:
		return "an array of strings, with null for NULL"
	}
	return "a whole number"
}

// briefLen bounds what of a request is repeated in its refusal.
const briefLen = 60

func brief(s string) string {
	if len(s) <= briefLen {
		return s
	}
	return strings.ToValidUTF8(s[:briefLen], "") + "…"
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
