package plane

import (
	"github.com/shapebus/shapebus/internal/strict"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/shape"
	"github.com/shapebus/shapebus/services/consumer/plane/refuse"
)

// decode reads a request.
func decode[T any](data []byte) (T, error) {
	req, err := strict.Decode[T](data, strict.Words{Object: "the request", Reader: "this endpoint"})
	if err != nil {
		return req, refuse.BadRequest("%v", err)
	}
	return req, nil
}

// maxParams bounds the parameters of a clause: each must stand in it.
const maxParams = 16 << 10

// The fields of a request are of a known form and size before anything else becomes of them: a
// subject, a key, SQL, an entry of a map.

func checkCreate(r control.CreateRequest) error {
	switch {
	case r.Table == "":
		return refuse.BadRequest(`"table" is missing: the table whose rows are wanted`)
	case len(r.Columns) > shape.MaxColumns:
		return refuse.BadRequest("%d columns; a table has at most %d", len(r.Columns), shape.MaxColumns)
	case len(r.Params) > maxParams:
		return refuse.BadRequest("%d params; at most %d are allowed", len(r.Params), maxParams)
	}
	if _, _, err := shape.ParseTable(r.Table); err != nil {
		return refuse.BadRequest("%v", err)
	}
	for i, c := range r.Columns {
		if err := shape.CheckName(c); err != nil {
			return refuse.BadRequest("column %d of those asked for: %v", i+1, err)
		}
	}
	return nil // the clause and its parameters are checked where they are compiled
}

func checkShape(r control.ShapeRequest) error {
	switch {
	case r.Shape == "":
		return refuse.BadRequest(`"shape" is missing: the shape's id or handle`)
	case !shape.IsID(r.Shape) && !shape.IsHandle(r.Shape):
		return refuse.BadRequest("shape %q: want an id (16 hex digits) or a handle (an id, - and more)", strict.Brief(r.Shape))
	}
	return nil
}

func checkList(r control.ListRequest) error {
	switch {
	case r.After != "" && !shape.IsID(r.After):
		return refuse.BadRequest("after %q: want the id of the last shape of the page before (16 hex digits)", strict.Brief(r.After))
	case r.Limit < 0 || r.Limit > listPage:
		return refuse.BadRequest("limit %d: want 1 to %d", r.Limit, listPage)
	}
	return nil
}

func checkTop(r control.TopRequest) error {
	switch {
	case r.By != "" && r.By != control.TopCPU && r.By != control.TopBytes:
		return refuse.BadRequest("by %q: want %s or %s", strict.Brief(r.By), control.TopCPU, control.TopBytes)
	case r.Limit < 0 || r.Limit > topMost:
		return refuse.BadRequest("limit %d: want 1 to %d", r.Limit, topMost)
	}
	return nil
}

func checkNothing(struct{}) error { return nil }
