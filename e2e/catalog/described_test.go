package catalog

import (
	"strings"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/control"
)

// TestChangesShowWithTheNextWrite: where the description of a table does not change, Postgres still
// sends it again, and nobody waits for the next look at all tables.
func TestChangesShowWithTheNextWrite(t *testing.T) {
	s := stack.New(t, "")
	s.Consumer.CatalogInterval = time.Hour
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	for i, st := range []story{
		{
			name: "a column is written again", table: "t", ends: "rewritten", setup: plain,
			sql: []string{"ALTER TABLE t ALTER a TYPE text USING upper(a)", "INSERT INTO t VALUES (100, 'x', 1)"},
		},
		{
			name: "a column is written again and rows with it", table: "t", ends: "rewritten", setup: plain,
			sql: []string{"BEGIN; ALTER TABLE t ALTER a TYPE text USING upper(a); INSERT INTO t VALUES (100, 'x', 1); COMMIT"},
		},
		{
			name: "a partition with rows is attached", since: 15, table: "t", ends: "was attached", setup: parts,
			sql: []string{
				"CREATE TABLE t3 (LIKE t1 INCLUDING ALL); ALTER TABLE t3 REPLICA IDENTITY FULL; INSERT INTO t3 VALUES (100, 'x', 1)",
				"ALTER TABLE t ATTACH PARTITION t3 FOR VALUES FROM (100) TO (200)", "INSERT INTO t VALUES (101, 'y', 1)",
			},
		},
		{
			name: "a partition is emptied", table: "t", ends: "t1", setup: parts,
			sql: []string{"TRUNCATE t1", "INSERT INTO t VALUES (1, 'y', 1)"},
		},
		{
			name: "a subquery's table is written again", table: "o", where: inP, ends: "rewritten",
			setup: outer + "CREATE TABLE p (id int PRIMARY KEY, a text); INSERT INTO p SELECT i, 'yes' FROM generate_series(1, 5) i",
			sql:   []string{"ALTER TABLE p ALTER a TYPE text USING 'no'", "INSERT INTO p VALUES (100, 'no')"},
		},
	} {
		t.Run(st.name, func(t *testing.T) {
			if st.since > pg.Major(s.DB) { // 14 publishes nothing of a table that it has seen before it became a partition
				t.Skipf("Postgres %d does not describe the table", pg.Major(s.DB))
			}
			s := on(t, s)
			o := &telling{story: st, schema: "d" + string(rune('0'+i))}
			run(s, s.DB, "CREATE SCHEMA "+o.schema)
			o.enter(s, s.DB)
			run(s, s.DB, st.setup)
			first := "INSERT INTO " + map[string]string{"t": "t VALUES (50, 'first', 0)", "o": "p VALUES (50, 'first')"}[st.table]
			sh := s.Create(o.definition(s))
			run(s, s.DB, first) // from here on Postgres has described the table
			s.Verify(sh)
			o.shape = sh
			o.change(s)
			info := s.Await(sh, "ended", func(i control.Shape) bool { return i.State == control.StateEnded })
			if !strings.Contains(info.Reason, st.ends) {
				t.Errorf("the shape ended with %q, want %q", info.Reason, st.ends)
			}
		})
	}
}
