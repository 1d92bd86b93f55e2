package whereis

import (
	"strings"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/strict"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/shape"
	"github.com/shapebus/shapebus/services/consumer/plane/refuse"
)

// Bounds of a key: what Postgres puts into an index.
const (
	maxKeyColumns = 32
	maxKeyValue   = 8 << 10
)

// Check refuses a request whose fields have not their form and size.
func Check(r control.ExplainRequest) error {
	switch {
	case r.Table == "":
		return refuse.BadRequest(`"table" is missing: the table that the row is in`)
	case len(r.Key) == 0:
		return refuse.BadRequest(`"key" is missing: the primary key's columns, each with its value`)
	case len(r.Key) > maxKeyColumns:
		return refuse.BadRequest("%d columns of a key; Postgres allows %d", len(r.Key), maxKeyColumns)
	case r.After != "" && !shape.IsID(r.After):
		return refuse.BadRequest("after %q: want what the answer before gave as next", strict.Brief(r.After))
	case r.Limit < 0 || r.Limit > Page:
		return refuse.BadRequest("limit %d: want 1 to %d", r.Limit, Page)
	}
	if _, _, err := shape.ParseTable(r.Table); err != nil {
		return refuse.BadRequest("%v", err)
	}
	for column, value := range r.Key {
		if err := shape.CheckName(column); err != nil {
			return refuse.BadRequest("column of the key: %v", err)
		}
		if len(value) > maxKeyValue || strings.ContainsRune(value, 0) {
			return refuse.BadRequest("the value of %s: want at most %d bytes, none of them 0", strict.Brief(column), maxKeyValue)
		}
	}
	return nil
}

// CheckKey refuses a key that is not the table's.
func CheckKey(t *pg.TableInfo, key map[string]string) error {
	if len(t.PrimaryKey) == 0 {
		return refuse.BadRequest("table %s has no primary key by which one of its rows could be named", t)
	}
	for _, k := range t.PrimaryKey {
		if _, ok := key[k]; !ok || len(key) != len(t.PrimaryKey) {
			return refuse.BadRequest("the key of table %s has the columns %s; give a value for each of them and for no other", t, strings.Join(t.PrimaryKey, ", "))
		}
	}
	return nil
}
