package whereis_test

import (
	"strings"
	"testing"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/dbtest"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
	"github.com/shapebus/shapebus/pkg/shape"
	"github.com/shapebus/shapebus/services/consumer/plane/allow"
	"github.com/shapebus/shapebus/services/consumer/plane/whereis"
)

// TestALabelThatIsYoungerThanTheShapeIsNotJudged: neither in the row that is asked about nor in one that its subquery selects.
func TestALabelThatIsYoungerThanTheShapeIsNotJudged(t *testing.T) {
	url := pgtest.Database(t)
	conn := dbtest.Dial(t, url)
	dbtest.Script(t, conn, `CREATE TYPE size AS ENUM ('small', 'large');
		CREATE TABLE parents (id int PRIMARY KEY, size size);
		CREATE TABLE children (id int PRIMARY KEY, parent int, size size)`)
	table, inner := dbtest.Lookup(t, conn, "public", "children"), dbtest.Lookup(t, conn, "public", "parents")
	dbtest.Script(t, conn, "ALTER TYPE size ADD VALUE 'medium' BEFORE 'large'")
	dbtest.Script(t, conn, `INSERT INTO parents VALUES (1, 'medium'), (2, 'large');
		INSERT INTO children VALUES (1, 1, 'small'), (2, 2, 'small'), (3, 2, 'medium')`)
	rec := func(where string) *registry.Shape {
		return &registry.Shape{Definition: shape.Definition{Where: where}, Table: table, Structure: table.Structure(), InnerTables: []*pg.TableInfo{inner}}
	}
	selects := rec("parent IN (SELECT id FROM parents WHERE size >= 'large')")
	dbtest.Script(t, conn, "BEGIN")
	x := whereis.New(t.Context(), conn.PgConn(), allow.Tables{})
	const younger = "where the label 'medium' in column size stands"
	for _, c := range []struct {
		name, child string
		shape       *registry.Shape
		matches     bool
		problem     bool
		candidate   control.Truth
		younger     bool // it is the candidate's
	}{
		{"the row has it", "3", rec("size >= 'large'"), false, true, "", false},
		{"a row that the subquery might select has it", "1", selects, false, false, control.TruthUnknown, true},
		{"no row has it", "2", selects, true, false, control.TruthTrue, false},
	} {
		row, err := x.Row(table, map[string]string{"id": c.child})
		if err != nil || row == nil {
			t.Fatalf("%s: %v, %v", c.name, row, err)
		}
		got := x.Membership(c.shape, table, row)
		if got.Matches != c.matches || (got.Problem != "") != c.problem || c.problem && !strings.Contains(got.Problem, younger) {
			t.Errorf("%s: %t, %q", c.name, got.Matches, got.Problem)
		}
		if c.candidate == "" {
			continue
		}
		if got.Why.Test == nil || len(got.Why.Test.Candidates) != 1 {
			t.Errorf("%s: %+v", c.name, got.Why)
			continue
		}
		if why := got.Why.Test.Candidates[0].Why; why.Truth != c.candidate || strings.Contains(why.SQL, younger) != c.younger {
			t.Errorf("%s: %+v", c.name, why)
		}
	}
}
