package hostile

import (
	"strings"
	"testing"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// TestTheDearestClausesDelayNobody makes shapes whose clauses are as dear as clauses may be, and feeds them rows of which each costs
// milliseconds, and at last one that costs too much.
func TestTheDearestClausesDelayNobody(t *testing.T) {
	s := stack.Start(t, canarySchema+`CREATE TABLE papers (id int PRIMARY KEY, body text, j jsonb)`)
	c, _ := startCanary(t, s)
	var shapes []*client.Shape
	for _, where := range []string{
		repeated(520, "body LIKE '%%____%dxy%%'"), // it took 17.4 s a row
		repeated(200, "body LIKE '%%a__%dxy%%'"),
		repeated(300, "body ILIKE '%%a%dxy%%'"),
		repeated(200, "j @> '[%d]'"),
	} {
		shapes = append(shapes, s.Create(client.Definition{Table: "papers", Where: where}))
	}
	c.check(t, "making the shapes")
	for i := range 3 {
		s.Exec("INSERT INTO papers SELECT $1::int, repeat('a', 10000), (SELECT jsonb_agg(1000 + n) FROM generate_series(1, 1000) n)", i)
		c.beat(s)
		s.Exec("UPDATE papers SET body = 'x' || body WHERE id = $1", i)
		c.beat(s)
	}
	s.Verify(shapes...)
	c.beat(s)
	c.check(t, "rows that cost milliseconds")
	if err := shapes[0].Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	ends := func(sh *client.Shape) {
		t.Helper()
		info := s.Await(sh, "ended", func(i control.Shape) bool { return i.State == control.StateEnded })
		if !strings.Contains(info.Reason, "too much work") {
			t.Errorf("shape %s ended with %q", sh.Handle(), info.Reason)
		}
	}
	s.Settle(shapes[2])
	before := s.Await(shapes[2], "there", func(control.Shape) bool { return true }).Rows
	s.Exec("INSERT INTO papers VALUES (100, repeat('a', 5000000))")
	ends(shapes[1])
	c.beat(s)
	// No piece of its patterns is in the row, so it is not asked. Postgres asks it, for minutes, so it is not asked what it says.
	s.Settle(shapes[2:]...)
	if now := s.Await(shapes[2], "live", func(i control.Shape) bool { return i.State == control.StateLive }); now.Rows != before {
		t.Errorf("the shape has %d rows, and had %d", now.Rows, before)
	}
	s.Verify(shapes[3])
	s.Exec("INSERT INTO papers VALUES (101, repeat('a', 5000000) || 'a0x 0xy')")
	ends(shapes[2])
	c.beat(s)
	s.Verify(shapes[3])
	c.check(t, "a row that costs too much")
}
