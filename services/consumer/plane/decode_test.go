package plane

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/shapebus/shapebus/internal/strict"
	"github.com/shapebus/shapebus/pkg/control"
)

func TestARequestIsReadWithAllItSays(t *testing.T) {
	got, err := decode[control.CreateRequest]([]byte(` { "params" : ["a", null, "\ud83d\ude00"], "table" : "t", "columns": ["a","b"], "where":"x = $1" } `))
	want := control.CreateRequest{Table: "t", Columns: []string{"a", "b"}, Where: "x = $1", Params: []*string{new("a"), nil, new("😀")}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := decode[control.ListRequest]([]byte(`{"limit":7}`)); err != nil || got.Limit != 7 {
		t.Errorf("got %+v, %v", got, err)
	}
	values, err := decode[control.CreateRequest]([]byte(`{"params":["1", 1.50, 12345678901234567890, true, [1, "a b", null], {"a": [1]}, null]}`))
	if all := []*string{new("1"), new("1.50"), new("12345678901234567890"), new("true"), new(`[1,"a b",null]`), new(`{"a":[1]}`), nil}; err != nil || !reflect.DeepEqual(values.Params, all) {
		t.Errorf("got %+v, %v", values, err)
	}
	for _, nothing := range []string{``, `{}`} {
		if _, err := decode[struct{}]([]byte(nothing)); err != nil {
			t.Errorf("%q: %v", nothing, err)
		}
	}
}

func TestARequestIsRefusedInPlainWords(t *testing.T) {
	for body, want := range map[string]string{
		`{"wheer":"a"}`:                `this endpoint does not know "wheer"; it takes table, columns, where, params`,
		`{"Where":"a"}`:                `this endpoint does not know "Where"; write "where"`,
		`{"where":"a","where":"a"}`:    `the request has "where" twice`,
		`{"where":null}`:               `"where" must be a string`,
		`{"columns":["a",null]}`:       `"columns" must be an array of strings`,
		`{"columns":"a"}`:              `"columns" must be an array of strings`,
		`{"params":1}`:                 `"params" must be an array of values: strings, numbers, booleans, arrays, and null for NULL`,
		`{"params":null}`:              `"params" must be an array of values: strings, numbers, booleans, arrays, and null for NULL`,
		`{"where":"\ud800"}`:           `"where" has one half of a character that is written as two (a lone surrogate)`,
		`{"where":"\udc00"}`:           `"where" has one half of a character that is written as two (a lone surrogate)`,
		`{"where":"\ud800\ud800"}`:     `"where" has one half of a character that is written as two (a lone surrogate)`,
		"{\"where\":\"\xff\"}":         `the request is not valid UTF-8`,
		`[]`:                           `the request must be a JSON object`,
		`null`:                         `the request must be a JSON object`,
		`x`:                            `the request must be a JSON object`,
		`{"where":"a"} x`:              `something stands behind the request's object`,
		`{"where":"a"}{}`:              `something stands behind the request's object`,
		`{"` + long(500) + `":"a"}`:    `this endpoint does not know "` + long(strict.BriefLen) + `…"; it takes table, columns, where, params`,
		`{"where":"\\ud800","where" }`: `the request has "where" twice`,
	} {
		_, err := decode[control.CreateRequest]([]byte(body))
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v\nwant %s", body, err, want)
		}
	}
	if _, err := decode[control.ListRequest]([]byte(`{"limit":1.5}`)); err == nil || err.Error() != `"limit" must be a whole number` {
		t.Errorf("got %v", err)
	}
	if _, err := decode[struct{}]([]byte(`{"a":1}`)); err == nil || err.Error() != `this endpoint does not know "a"; it takes no keys at all` {
		t.Errorf("got %v", err)
	}
}

func long(n int) string { return strings.Repeat("k", n) }

// FuzzDecode checks that what is read is what package json reads where that is strict, and that nothing gets lost.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		`{"table":"t","columns":["a"],"where":"x = $1","params":["1",null]}`, `{"after":"0123456789abcdef","limit":3}`, `{"shape":"a"}`,
		`{"where":"\ud83d\ude00\u0000"}`, `{"where":"\ud800"}`, `{"Where":"a"}`, `{"where":"a","where":"b"}`, `[]`, `{}`, ``, `{"params":null}`,
		`{"params":[1, true, ["a",null], {"b":1}, null]}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		decodeAs[control.CreateRequest](t, data)
		decodeAs[control.ShapeRequest](t, data)
		decodeAs[control.ListRequest](t, data)
		decodeAs[struct{}](t, data)
	})
}

func decodeAs[T any](t *testing.T, data []byte) {
	t.Helper()
	got, err := decode[T](data)
	if err != nil {
		if text := err.Error(); !utf8.ValidString(text) || len(text) > 1000 {
			t.Errorf("the refusal is %q", text)
		}
		return
	}
	if len(data) == 0 {
		return
	}
	var want T
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var otherType *json.UnmarshalTypeError
	err = d.Decode(&want)
	values := errors.As(err, &otherType) && otherType.Field == "params" // numbers, say, which are kept as texts
	if err != nil && !values {
		t.Fatalf("%q is read, and package json says %v", data, err)
	}
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(want)
	if !values && !bytes.Equal(a, b) {
		t.Fatalf("%q is read as %s, package json reads %s", data, a, b)
	}
	back, err := decode[T](a)
	if err != nil || !reflect.DeepEqual(normal(back), normal(got)) {
		t.Fatalf("%s is read as %+v, %v; was %+v", a, back, err, got)
	}
}

// normal makes an empty array one that is not there, which means the same.
func normal(v any) any {
	if r, ok := v.(control.CreateRequest); ok {
		if len(r.Columns) == 0 {
			r.Columns = nil
		}
		if len(r.Params) == 0 {
			r.Params = nil
		}
		return r
	}
	return v
}
