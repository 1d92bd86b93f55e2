package predicate

import (
	"github.com/shapebus/shapebus/internal/predicate/jsonpath"
	"github.com/shapebus/shapebus/internal/predicate/value"
)

type (
	// jsonGetExpr is jsonb -> key or ->> key, where the key is a text or an integer, and #> or #>> with a path, which is an
	// array of texts.
	jsonGetExpr struct {
		asText    bool
		json, key scalar
	}

	// jsonNode is @> on jsonb, and ? ?| ?& with the keys on the right. <@ is @> the other way round.
	jsonNode struct {
		name        string
		left, right scalar
	}

	// jsonPathNode is @? or @@ with a constant path.
	jsonPathNode struct {
		name     string
		document scalar
		path     *jsonpath.Path
	}
)

// jsonLengthExpr is jsonb_array_length.
type jsonLengthExpr struct{ arg scalar }

func (e *jsonLengthExpr) eval(row [][]byte) value.Datum {
	d := e.arg.eval(row)
	if d.Null {
		return d
	}
	n, ok := value.JSONLength(d.Bytes)
	if !ok {
		return value.Null
	}
	return value.Datum{Int: n}
}

func (e *jsonLengthExpr) columns(add func(int)) { e.arg.columns(add) }

func (e *jsonGetExpr) eval(row [][]byte) value.Datum {
	d := e.json.eval(row)
	if d.Null {
		return d
	}
	key := e.key.eval(row)
	if key.Null {
		return key
	}
	var found []byte
	switch {
	case e.key.k.IsArray():
		found = value.JSONPath(d.Bytes, key.Array)
	case e.key.k.IsInt():
		found = value.JSONIndex(d.Bytes, key.Int)
	default:
		found = value.JSONKey(d.Bytes, string(key.Bytes))
	}
	if e.asText && found != nil {
		found = value.JSONAsText(found)
	}
	if found == nil {
		return value.Null
	}
	return value.Datum{Bytes: found}
}

func (n *jsonNode) eval(row [][]byte) truth {
	l, r := n.left.eval(row), n.right.eval(row)
	if l.Null || r.Null {
		return isUnknown
	}
	switch n.name {
	case "@>":
		return truthOf(value.ContainsJSON(l.Bytes, r.Bytes))
	case "?":
		return truthOf(value.JSONHasKey(l.Bytes, string(r.Bytes)))
	}
	all := n.name == "?&"
	for i := range r.Array.Elements {
		if e := &r.Array.Elements[i]; !e.Null && value.JSONHasKey(l.Bytes, string(e.Bytes)) != all {
			return truthOf(!all)
		}
	}
	return truthOf(all)
}

func (e *jsonGetExpr) columns(add func(int)) {
	e.json.columns(add)
	e.key.columns(add)
}

func (n *jsonNode) columns(add func(int)) {
	n.left.columns(add)
	n.right.columns(add)
}

func (n *jsonPathNode) eval(row [][]byte) truth {
	d := n.document.eval(row)
	switch {
	case d.Null:
		return isUnknown
	case n.name == "@?":
		return truthOf(n.path.Exists(d.Bytes))
	}
	switch n.path.Test(d.Bytes) {
	case jsonpath.Yes:
		return isTrue
	case jsonpath.No:
		return isFalse
	case jsonpath.Unknown:
	}
	return isUnknown
}

func (n *jsonPathNode) columns(add func(int)) { n.document.columns(add) }
