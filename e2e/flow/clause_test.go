package flow

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

const orders = `
	CREATE DOMAIN amount AS numeric(10,2) CHECK (VALUE >= 0);
	CREATE TYPE state AS ENUM ('open', 'waiting', 'closed');
	CREATE TABLE teams (id bigint PRIMARY KEY, state state, code text);
	CREATE TABLE orders (id int PRIMARY KEY, team int, state state, price amount, sku varchar(20), at timestamp, tags text[], span int4range);
	INSERT INTO teams SELECT i, (enum_range(NULL::state))[1 + i % 3], chr(64 + i) || i FROM generate_series(1, 12) i;
	INSERT INTO orders SELECT i, nullif(i % 14, 0), (enum_range(NULL::state))[1 + i % 3], i % 90, chr(96 + i % 4) || '-' || i, '2024-02-26'::timestamp + i * '7 hours'::interval,
		CASE WHEN i % 4 > 0 THEN ARRAY['t' || i % 4] END, CASE WHEN i % 5 > 0 THEN int4range(i, i + 3) END FROM generate_series(1, 200) i`

// TestShapesOfClausesAsPeopleTypeThem follows what else than comparisons stands in clauses: snapshot and stream agree.
func TestShapesOfClausesAsPeopleTypeThem(t *testing.T) {
	s := stack.Start(t, orders)
	shapes := []*client.Shape{
		s.Create(client.Definition{Table: "orders", Where: "team IN (SELECT id FROM teams WHERE code ~ '^[A-F]\\d$')"}),
		s.Create(client.Definition{Table: "orders", Where: "state NOT IN (SELECT state FROM teams WHERE id < $1)", Params: []any{4}}),
		s.Create(client.Definition{Table: "orders", Where: "EXISTS (SELECT 1 FROM teams WHERE teams.id = orders.team AND teams.state = 'open')"}),
		s.Create(client.Definition{Table: "orders", Where: "CASE WHEN price > 50 THEN sku ~* '^A-' ELSE state = ANY ($1) END", Params: []any{[]string{"open", "closed"}}}),
		s.Create(client.Definition{Table: "orders", Where: "(team, state) IN ((1, 'open'), (2, 'closed')) OR split_part(sku, '-', 2)::int > 150"}),
		s.Create(client.Definition{Table: "orders", Where: "at >= $1 AND extract(dow FROM at) IN (0, 6)", Params: []any{time.Date(2024, 3, 1, 12, 0, 0, 0, time.UTC)}}),
		s.Create(client.Definition{Table: "orders", Where: "round(price * 1.19, 1) > 30 AND left(sku, 1) <> 'b' AND span IS NOT NULL AND cardinality(tags) = 1"}),
	}
	s.Verify(shapes...)
	for _, sql := range []string{
		"UPDATE orders SET price = price + 7, state = 'waiting' WHERE id % 3 = 0",
		"UPDATE teams SET state = 'closed', code = lower(code) WHERE id % 2 = 0",
		"BEGIN; UPDATE orders SET team = 1 + id % 13, sku = upper(sku), at = at + '1 day'::interval; UPDATE teams SET state = 'open', code = 'A1' WHERE id > 6; COMMIT",
		"UPDATE orders SET span = NULL, tags = tags || 'more'::text WHERE id % 4 = 1",
		"DELETE FROM teams WHERE id = 3",
		"DELETE FROM orders WHERE id % 5 = 0",
	} {
		s.Exec(sql)
		s.Verify(shapes...)
	}
}

// TestParametersComeInJSON asks as other languages do, with parameters that are no strings, and for a shape that no index finds.
func TestParametersComeInJSON(t *testing.T) {
	s := stack.Start(t, orders)
	ask := func(body string) (out control.Shape) {
		t.Helper()
		msg, err := s.NC.Request(s.Source.ControlPlane()+"."+control.EndpointCreate, []byte(body), 30*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(msg.Data, &out); err != nil || out.Handle == "" {
			t.Fatalf("%s: %s, %v", body, msg.Data, err)
		}
		return out
	}
	for body, same := range map[string]client.Definition{
		`{"table": "orders", "where": "team = $1 AND price > $2", "params": [3, 1.5]}`:               {Table: "orders", Where: "team = 3 AND price > 1.5"},
		`{"table": "orders", "where": "team = ANY ($1)", "params": [[1, 2]]}`:                        {Table: "orders", Where: "team IN (1, 2)"},
		`{"table": "orders", "where": "tags && $1", "params": [["t1", "a b"]]}`:                      {Table: "orders", Where: `tags && '{t1,"a b"}'`},
		`{"table": "orders", "where": "at < $1", "params": ["2024-03-01T10:00:00.000Z"]}`:            {Table: "orders", Where: "at < '2024-03-01 10:00'"},
		`{"table": "orders", "where": "(span IS NULL) = $1 AND state = $2", "params": [true, null]}`: {Table: "orders", Where: "(span IS NULL) = true AND state = NULL"},
	} {
		if got, want := ask(body), s.Create(same); got.Handle != want.Handle() {
			t.Errorf("%s is another shape than %+v", body, same)
		}
	}
	if hint := ask(`{"table": "orders", "where": "team <> $1", "params": [3]}`).Hint; !strings.Contains(hint, "every change") {
		t.Errorf("hint %q", hint)
	}
}
