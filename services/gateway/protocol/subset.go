package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Subset asks for those rows of the shape, as they are now, that match a condition too.
type Subset struct {
	Where   string
	Params  []*string
	OrderBy string
	Limit   int // 0 for none
	Offset  int
}

// subsetPrefix begins the names of a subset's parameters in a URL.
const subsetPrefix = "subset__"

// SubsetInput is a subset as it was asked for.
type SubsetInput struct {
	where, orderBy, limit, offset, params string
}

// subsetOf reads the subset's parameters of a URL, nil if there are none.
func subsetOf(v Values) *SubsetInput {
	found := false
	for name := range v.Values {
		found = found || strings.HasPrefix(name, subsetPrefix)
	}
	if !found {
		return nil
	}
	of := func(name string) string { return v.get(subsetPrefix + name) }
	return &SubsetInput{where: of("where"), orderBy: of("order_by"), limit: of("limit"), offset: of("offset"), params: of("params")}
}

// ParseBody reads the JSON body of a request. What it says besides the subset is put over the parameters of the URL, and wins. Of a URL that
// names a table it must not say which shape that is: a proxy says so there, and passes bodies on.
func ParseBody(body []byte, v Values) (*SubsetInput, *Error) {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil, nil
	}
	if !json.Valid(body) {
		return nil, Body(http.StatusBadRequest, "Invalid JSON in request body", "the text is not JSON")
	}
	var object map[string]json.RawMessage
	if err := json.Unmarshal(body, &object); err != nil || object == nil {
		return nil, Body(http.StatusBadRequest, "Request body must be a JSON object", "")
	}
	subset := object
	nested, isNested := object["subset"]
	if isNested {
		subset = nil
		if err := json.Unmarshal(nested, &subset); err != nil || subset == nil {
			return nil, InvalidSubset("subset", "is invalid")
		}
		delete(object, "subset")
	}
	in := &SubsetInput{}
	found := isNested
	for name, to := range map[string]*string{"where": &in.where, "order_by": &in.orderBy, "limit": &in.limit, "offset": &in.offset, "params": &in.params} {
		raw, ok := subset[name]
		if !ok {
			continue
		}
		found = true
		*to = scalar(raw)
		delete(object, name)
	}
	for _, name := range []string{"where_expr", "order_by_expr"} {
		_, ok := object[name]
		found = found || ok
		delete(object, name)
	}
	named := v.get("table") != ""
	for name, raw := range object {
		if named && defines(name) {
			return nil, Invalid(name, "must not be in the body of a request whose URL names a table")
		}
		v.Values[name] = []string{scalar(raw)}
	}
	if !found {
		return nil, nil
	}
	return in, nil
}

// defines reports whether a parameter says which shape a request is about, or who asks.
func defines(name string) bool {
	switch name {
	case "table", "where", "columns", "queryable_columns", "params", "secret", "api_secret":
		return true
	}
	return strings.HasPrefix(name, "params[")
}

// scalar is a JSON value as text: a string's own, nothing for null, else the JSON.
func scalar(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s // null leaves it empty
	}
	return string(raw)
}

// parse checks the subset as far as that is possible without the table.
func (in *SubsetInput) parse(*Definition) (*Subset, *Error) {
	s := &Subset{OrderBy: in.orderBy}
	var err error
	if in.limit != "" {
		if s.Limit, err = strconv.Atoi(in.limit); err != nil {
			return nil, InvalidSubset("limit", "is invalid")
		}
		if s.Limit <= 0 {
			return nil, InvalidSubset("limit", "must be greater than 0")
		}
	}
	if in.offset != "" {
		if s.Offset, err = strconv.Atoi(in.offset); err != nil {
			return nil, InvalidSubset("offset", "is invalid")
		}
		if s.Offset < 0 {
			return nil, InvalidSubset("offset", "must be greater than or equal to 0")
		}
	}
	if (in.limit != "" || in.offset != "") && in.orderBy == "" {
		return nil, InvalidSubset("order_by", "order_by is required when limit or offset is present")
	}
	if len(in.where) > maxWhere || len(in.orderBy) > maxWhere {
		return nil, InvalidSubset("where", "the clause is bigger than maximum size, 65536 bytes")
	}
	given, text := subsetParams(in.params)
	if text != "" {
		return nil, InvalidSubset("params", text)
	}
	if s.Where, s.Params, err = bind(in.where, given); err != nil {
		return nil, InvalidSubset("where", err.Error())
	}
	return s, nil
}

// subsetParams reads the parameters, an object as JSON. Its values may be numbers: all are used as text.
func subsetParams(s string) (numbered, string) {
	if s == "" {
		return nil, ""
	}
	if !json.Valid([]byte(s)) {
		return nil, "params must be valid JSON"
	}
	var object map[string]json.RawMessage
	if json.Unmarshal([]byte(s), &object) != nil {
		return nil, "params must be a JSON object"
	}
	named := url.Values{}
	for n, raw := range object {
		if string(raw) == "null" {
			continue
		}
		named[fmt.Sprintf("params[%s]", n)] = []string{scalar(raw)}
	}
	given, err := params(named)
	if err != nil {
		return nil, err.Error()
	}
	return given, ""
}
