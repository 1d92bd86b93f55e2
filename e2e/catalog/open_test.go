package catalog

import (
	"slices"
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// TestShapesAskedForWhileTheirTableChanges: the change is open when the shape is asked for, and
// commits while the table is made ready. The shape is that of the table behind the change.
func TestShapesAskedForWhileTheirTableChanges(t *testing.T) {
	s := stack.Start(t, "")
	for _, tt := range []struct{ name, setup, table, where, change string }{
		{"a column is added", plain, "t", "", "ALTER TABLE t ADD x int DEFAULT 7"},
		{"a column is renamed", plain, "t", "", "ALTER TABLE t RENAME n TO x"},
		{"a key is added", "CREATE TABLE t (id int, a text); INSERT INTO t VALUES (1, 'a');", "t", "", "ALTER TABLE t ADD PRIMARY KEY (id)"},
		{"a column is added to a partitioned table", parts, "t", "", "ALTER TABLE t ADD x int DEFAULT 7"},
		{"a partition is added", parts, "t", "", "CREATE TABLE t3 PARTITION OF t FOR VALUES FROM (100) TO (200); INSERT INTO t VALUES (150, 'x', 1)"},
		{"a subquery's table is written again", outer + "CREATE TABLE p (id int PRIMARY KEY, a text); INSERT INTO p VALUES (1, 'yes'), (2, 'no');", "o", inP, "ALTER TABLE p ALTER a TYPE text USING CASE a WHEN 'no' THEN 'yes' ELSE 'no' END"},
		{"a column is added to a subquery's table", outer + "CREATE TABLE p (id int PRIMARY KEY, a text); INSERT INTO p VALUES (1, 'yes'), (2, 'no');", "o", inP, "ALTER TABLE p ADD x int DEFAULT 7; UPDATE p SET a = 'yes'"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := on(t, s)
			o := &telling{story: story{table: tt.table, where: tt.where}, schema: "open"}
			run(s, s.DB, "DROP SCHEMA IF EXISTS open CASCADE; CREATE SCHEMA open")
			changing := s.Connect()
			o.enter(s, changing)
			run(s, changing, tt.setup)
			run(s, changing, "BEGIN; "+tt.change)
			type answer struct {
				shape *client.Shape
				err   error
			}
			asked := make(chan answer, 1)
			go func() {
				sh, err := s.Client.Create(t.Context(), o.definition(s))
				asked <- answer{sh, err}
			}()
			s.Until("the request waits for the table", func() (waits bool, err error) {
				err = s.DB.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND locktype = 'relation'
					AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))`).Scan(&waits)
				return waits, err
			}, func() string { return "" })
			run(s, changing, "COMMIT")
			got := <-asked
			if got.err != nil {
				t.Fatal(got.err)
			}
			s.Await(got.shape, "live", func(i control.Shape) bool { return i.State == control.StateLive })
			s.Verify(got.shape)
			var want, have []string
			rows, err := s.DB.Query(t.Context(), "SELECT attname FROM pg_attribute WHERE attrelid = ('open.' || $1)::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum", tt.table)
			if err != nil {
				t.Fatal(err)
			}
			for rows.Next() {
				want = append(want, "")
				if err := rows.Scan(&want[len(want)-1]); err != nil {
					t.Fatal(err)
				}
			}
			for _, c := range got.shape.Info().Columns {
				have = append(have, c.Name)
			}
			if !slices.Equal(have, want) {
				t.Errorf("the shape has the columns %v, the table %v", have, want)
			}
			looked(s)
			s.Verify(got.shape)
		})
	}
}
