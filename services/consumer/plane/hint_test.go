package plane

import (
	"testing"

	"github.com/shapebus/shapebus/internal/predicate"
)

func TestWhoAsksForAShapeThatNoIndexFindsIsTold(t *testing.T) {
	table := predicate.Table{Schema: "public", Name: "tasks", Columns: []predicate.Column{{Name: "id", TypeOID: 20}, {Name: "title", TypeOID: 25}}}
	for where, told := range map[string]bool{
		"": false, "true": false, "id = 1": false, "title ~ '^abc'": false, "id = NULL": false, "id = 1 AND title <> ''": false,
		"title <> ''": true, "id = 1 OR title <> ''": true, "CASE WHEN id = 1 THEN title = 'x' END": true,
	} {
		pred, err := predicate.Compile(where, nil, table, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := hintOf(pred) != ""; got != told {
			t.Errorf("%q: hint %q", where, hintOf(pred))
		}
	}
}
