package catalog

import (
	"strings"
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// TestPublicationStories alters the publication and alters it back before anybody looks. That
// concerns all shapes, so each story is told alone.
func TestPublicationStories(t *testing.T) {
	s := stack.New(t, plain+"CREATE TABLE p (id int PRIMARY KEY, a text); INSERT INTO p VALUES (1, 'yes'), (2, 'yes')")
	s.StartIngest()
	s.StartConsumer()
	s.StartMaterializer()
	for _, tt := range []struct{ name, sql string }{
		{"it leaves out updates for a while", "ALTER PUBLICATION {pub} SET (publish = 'insert'); UPDATE t SET a = 'x'; DELETE FROM p; ALTER PUBLICATION {pub} SET (publish = 'insert, update, delete, truncate')"},
		{"it names partitions for a while", "ALTER PUBLICATION {pub} SET (publish_via_partition_root = false); ALTER PUBLICATION {pub} SET (publish_via_partition_root = true)"},
		{"it has another name for a while", "ALTER PUBLICATION {pub} RENAME TO away; ALTER PUBLICATION away RENAME TO {pub}"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := on(t, s)
			outer := s.Create(client.Definition{Table: "t", Where: "id IN (SELECT id FROM p WHERE a = 'yes')"})
			plain := s.Create(client.Definition{Table: "t"})
			s.Exec("BEGIN; " + strings.ReplaceAll(tt.sql, "{pub}", pg.Ident(s.Source.Publication())) + "; COMMIT")
			for _, sh := range []*client.Shape{outer, plain} {
				info := s.Await(sh, "ended", func(i control.Shape) bool { return i.State == control.StateEnded })
				if !strings.Contains(info.Reason, "publication") {
					t.Errorf("the shape ended with %q", info.Reason)
				}
			}
			s.Verify(s.Create(client.Definition{Table: "t"}))
		})
	}
}
