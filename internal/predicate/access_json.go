package predicate

import (
	"github.com/shapebus/shapebus/internal/predicate/access"
	"github.com/shapebus/shapebus/internal/predicate/value"
)

// documentColumn is the column that a document stands in.
func documentColumn(s scalar) (column int, ok bool) {
	c, ok := s.expr.(*columnExpr)
	if !ok || s.k != value.JSONB {
		return 0, false
	}
	return c.column.index, true
}

// access finds documents by what a constant has at its top.
func (n *jsonNode) access(want truth) access.Path {
	column, ok := documentColumn(n.left)
	d, isConst := constantOf(n.right)
	switch {
	case want == isFalse || !ok || !isConst:
		return access.Path{}
	case d.Null:
		return access.Path{Form: access.None}
	}
	key := access.DocumentKey(column)
	if n.name == "@>" {
		return containedIn(key, d.Bytes)
	}
	names := []value.Datum{d}
	if n.name != "?" {
		names = d.Array.Elements
	}
	var keys []string
	for i := range names {
		if !names[i].Null {
			keys = append(keys, access.NameKey(value.QuoteJSON(string(names[i].Bytes))))
		}
	}
	if n.name != "?&" {
		if len(keys) == 0 {
			return access.Path{Form: access.None}
		}
		return access.KeysOf(key, keys...)
	}
	return allKeys(key, keys)
}

// access finds objects by what a path needs at their top, and all arrays.
func (n *jsonPathNode) access(want truth) access.Path {
	column, ok := documentColumn(n.document)
	needs := n.path.Needs()
	if want == isFalse || !ok || len(needs) == 0 {
		return access.Path{}
	}
	keys := []string{access.ArrayKey()}
	for _, need := range needs {
		if need.Literal == "" {
			keys = append(keys, access.NameKey(need.Key))
		} else {
			keys = append(keys, access.PairKey([]byte(need.Key), []byte(need.Literal)), access.ArrayPairKey(need.Key))
		}
	}
	return access.KeysOf(access.DocumentKey(column), keys...)
}

// containedIn covers the documents that contain a constant.
func containedIn(key access.Key, document []byte) access.Path {
	var keys []string
	value.JSONMembers(document, func(name, member []byte) bool {
		switch scalar := !value.IsJSONContainer(member); {
		case name != nil && scalar:
			keys = append(keys, access.PairKey(name, member))
		case name != nil:
			keys = append(keys, access.NameKey(string(name)))
		case scalar:
			keys = append(keys, access.ScalarKey(member))
		}
		return len(keys) < maxContained
	})
	return allKeys(key, keys)
}

// allKeys covers the rows that have all of some keys, or any row if there are none. Each covers them, so an index chooses.
func allKeys(key access.Key, keys []string) access.Path {
	if len(keys) == 0 {
		return access.Path{}
	}
	var args []access.Path
	for _, k := range keys[:min(len(keys), maxContained)] {
		args = append(args, access.KeysOf(key, k))
	}
	return access.AllOf(args...)
}

// documentValue is document ->> 'key', or -> 'key'.
func documentValue(s scalar) (key access.Key, name []byte, asText, ok bool) {
	get, ok := s.expr.(*jsonGetExpr)
	if !ok || get.key.k != value.Text {
		return access.Key{}, nil, false, false
	}
	column, isColumn := documentColumn(get.json)
	d, isConst := constantOf(get.key)
	if !isColumn || !isConst || d.Null {
		return access.Key{}, nil, false, false
	}
	return access.DocumentKey(column), []byte(value.QuoteJSON(string(d.Bytes))), get.asText, true
}

// documentAccess covers the rows of which a value in a document equals one of some constants. ok is false if it can be a document
// itself, or is not found at all.
func documentAccess(s scalar, constants ...value.Datum) (p access.Path, ok bool) {
	key, name, asText, ok := documentValue(s)
	if !ok {
		return access.Path{}, false
	}
	var keys []string
	for i := range constants {
		text := constants[i].Bytes
		switch {
		case constants[i].Null:
			continue
		case len(text) > 0 && (text[0] == '{' || text[0] == '['):
			return access.Path{}, false
		case !asText:
			keys = append(keys, access.PairKey(name, text))
			continue
		}
		// What prints as the text: a string, or another scalar.
		keys = append(keys, access.PairKey(name, []byte(value.QuoteJSON(string(text)))))
		if c, err := value.ParseConstant(value.JSONB, string(text)); err == nil && text[0] != '"' {
			keys = append(keys, access.PairKey(name, []byte(c.Text)))
		}
	}
	if len(keys) == 0 {
		return access.Path{Form: access.None}, true
	}
	return access.KeysOf(key, keys...), true
}
