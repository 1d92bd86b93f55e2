package registry_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/internal/registry"
)

// Whoever wrote a record, what it names becomes subjects, keys and SQL.
func TestARecordWhoseNamesHaveNotTheirFormIsUnreadable(t *testing.T) {
	ctx, js, shapes := open(t)
	kv, err := js.KeyValue(ctx, source.ShapeBucket())
	ok(t, err)
	long := strings.Repeat("a", 4000)
	good := record(id("a"))
	good.Subqueries = []registry.Subquery{{ID: id("b"), Handle: id("b") + "-1", Columns: []int{0}}}
	for name, spoil := range map[string]func(*registry.Shape){
		"nothing":                     func(*registry.Shape) {},
		"a handle of 4 KB":            func(s *registry.Shape) { s.Handle = s.ID + "-" + long },
		"a handle with a wildcard":    func(s *registry.Shape) { s.Handle = s.ID + "-*" },
		"a handle with a dot":         func(s *registry.Shape) { s.Handle = s.ID + "-1.log" },
		"another shape's handle":      func(s *registry.Shape) { s.Handle = id("b") + "-1" },
		"a schema of 4 KB":            func(s *registry.Shape) { s.Definition.Schema = long },
		"no table":                    func(s *registry.Shape) { s.Definition.Table = "" },
		"a column with a zero byte":   func(s *registry.Shape) { s.Definition.Columns = []string{"a\x00"} },
		"an inner handle of 4 KB":     func(s *registry.Shape) { s.Subqueries[0].Handle = s.Subqueries[0].ID + "-" + long },
		"an inner handle of another":  func(s *registry.Shape) { s.Subqueries[0].Handle = id("c") + "-1" },
		"a column before the first":   func(s *registry.Shape) { s.Subqueries[0].Columns = []int{-1} },
		"a column behind all columns": func(s *registry.Shape) { s.Subqueries[0].Columns = []int{1 << 40} },
		"a million columns":           func(s *registry.Shape) { s.Subqueries[0].Columns = make([]int, 100_000) },
	} {
		rec := *good
		rec.Subqueries = append([]registry.Subquery(nil), good.Subqueries...)
		spoil(&rec)
		data, err := json.Marshal(&rec) //nolint:musttag // as it is stored
		ok(t, err)
		_, err = kv.Put(ctx, good.ID, data)
		ok(t, err)
		_, err = shapes.Get(ctx, good.ID)
		if (name == "nothing") != (err == nil) || err != nil && !errors.Is(err, registry.ErrUnreadable) {
			t.Errorf("%s: %.300v", name, err)
		}
		if err := shapes.Put(ctx, &rec); (name == "nothing") != errors.Is(err, registry.ErrConflict) || err == nil {
			t.Errorf("%s, stored where there is a record: %.300v", name, err)
		}
		if err != nil && len(err.Error()) > 500 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}
