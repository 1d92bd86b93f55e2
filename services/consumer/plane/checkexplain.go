package plane

import (
	"strings"

	"github.com/shapebus/shapebus/internal/strict"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/shape"
)

func checkExplain(r control.ExplainRequest) error {
	switch {
	case r.Table == "":
		return badRequest(`"table" is missing: the table that the row is in`)
	case len(r.Key) == 0:
		return badRequest(`"key" is missing: the primary key's columns, each with its value`)
	case len(r.Key) > maxKeyColumns:
		return badRequest("%d columns of a key; Postgres allows %d", len(r.Key), maxKeyColumns)
	case r.After != "" && !shape.IsID(r.After):
		return badRequest("after %q: want what the answer before gave as next", strict.Brief(r.After))
	case r.Limit < 0 || r.Limit > explainPage:
		return badRequest("limit %d: want 1 to %d", r.Limit, explainPage)
	}
	if _, _, err := shape.ParseTable(r.Table); err != nil {
		return badRequest("%v", err)
	}
	for column, value := range r.Key {
		if err := shape.CheckName(column); err != nil {
			return badRequest("column of the key: %v", err)
		}
		if len(value) > maxKeyValue || strings.ContainsRune(value, 0) {
			return badRequest("the value of %s: want at most %d bytes, none of them 0", strict.Brief(column), maxKeyValue)
		}
	}
	return nil
}

// Bounds of a key: what Postgres puts into an index.
const (
	maxKeyColumns = 32
	maxKeyValue   = 8 << 10
)
