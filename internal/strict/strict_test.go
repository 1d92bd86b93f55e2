package strict_test

import (
	"strings"
	"testing"

	"github.com/shapebus/shapebus/internal/strict"
)

// What requests of the control plane come to is tested there; here is what else the types of fields can say.
func TestAPointerSaysWhetherAKeyWasThere(t *testing.T) {
	type object struct {
		Text *string   `json:"text"`
		List *[]string `json:"list"`
	}
	decode := func(data string) (object, error) {
		return strict.Decode[object]([]byte(data), strict.Words{Object: "the grant", Reader: "a grant"})
	}
	if got, err := decode(`{}`); err != nil || got.Text != nil || got.List != nil {
		t.Errorf("of nothing: %+v, %v", got, err)
	}
	if got, err := decode(`{"text":"","list":[]}`); err != nil || got.Text == nil || got.List == nil || len(*got.List) != 0 {
		t.Errorf("of what is empty: %+v, %v", got, err)
	}
	for data, want := range map[string]string{
		`{"text":null}`:            `"text" must be a string`,
		`{"list":null}`:            `"list" must be an array of strings`,
		`{"list":["a",null]}`:      `"list" must be an array of strings`,
		`{"list":["a",1]}`:         `"list" must be an array of strings`,
		`{"list":["a"],"list":[]}`: `the grant has "list" twice`,
		`{"List":["a"]}`:           `a grant does not know "List"; write "list"`,
		`{"lst":["a"]}`:            `a grant does not know "lst"; it takes text, list`,
		`["a"]`:                    `the grant must be a JSON object`,
	} {
		if _, err := decode(data); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", data, err, want)
		}
	}
}
