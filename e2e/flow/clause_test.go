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

const visits = `
	CREATE TYPE size AS (width int, height int);
	CREATE TABLE banned (id int PRIMARY KEY, ip inet, net cidr);
	CREATE TABLE visits (id int PRIMARY KEY, ip inet, net cidr, digest bytea, flags bit(3), who name, ref oid, device macaddr, during tstzrange, days daterange, cost numrange, screen size, doc jsonb);
	INSERT INTO banned SELECT i, ('10.0.0.' || i)::inet, ('10.' || i || '.0.0/16')::cidr FROM generate_series(1, 9) i;
	INSERT INTO visits SELECT i, ('10.0.0.' || i % 20)::inet, ('10.' || i % 12 || '.0.0/16')::cidr, decode(lpad(to_hex(i % 17), 4, '0'), 'hex'), (i % 8)::bit(3), ('n' || i % 6)::name, (i % 5)::oid,
		('08:00:2b:01:02:0' || i % 7)::macaddr, tstzrange('2024-01-01Z'::timestamptz + i * '5 hours'::interval, CASE WHEN i % 3 > 0 THEN '2024-03-01Z'::timestamptz + i * '1 day'::interval END),
		daterange('2024-01-01'::date + i, '2024-01-05'::date + i, '[]'), numrange(i % 9, i % 9 + 2.50), CASE i % 4 WHEN 0 THEN NULL WHEN 1 THEN ROW(i, NULL)::size WHEN 2 THEN ROW(NULL, NULL)::size ELSE ROW(i, i)::size END,
		jsonb_build_object('level', i % 5, 'tags', jsonb_build_array('t' || i % 3)) FROM generate_series(1, 150) i`

// TestShapesByAddressesBytesAndRanges follows the types that are equal as their texts are, ranges, composite types, and documents.
func TestShapesByAddressesBytesAndRanges(t *testing.T) {
	s := stack.Start(t, visits)
	var shapes []*client.Shape
	for _, where := range []string{
		"ip IN (SELECT ip FROM banned WHERE id < 6) AND flags <> B'101'",
		"net NOT IN (SELECT net FROM banned) OR device = '08002b-010203'",
		"ip = ANY ('{10.0.0.1,10.0.0.2/32}') OR digest IN ('\\x0003', '\\x0004')",
		"who = 'n3' AND ref IN (1, 2, 3)",
		"during @> timestamptz '2024-02-01 00:00Z' AND days && daterange '[2024-01-20,2024-02-20)'",
		"cost = '[3.0,5.5)' OR cost @> 7::numeric",
		"id <@ int4range '[20,60)' AND screen IS NOT NULL",
		"screen IS NULL",
		`doc @> '{"level": 3}' OR doc ->> 'level' = '4'`,
		`doc -> 'tags' @> '["t1"]' AND doc ? 'level'`,
	} {
		shapes = append(shapes, s.Create(client.Definition{Table: "visits", Where: where}))
	}
	s.Verify(shapes...)
	for _, sql := range []string{
		"UPDATE visits SET ip = '10.0.0.3/32', net = '10.3.0.0/16', digest = '\\004'::bytea WHERE id % 5 = 0",
		"UPDATE banned SET ip = '10.0.0.15', net = '10.11.0.0/16' WHERE id = 2",
		"BEGIN; UPDATE visits SET during = 'empty', days = '(,2024-02-01]', cost = '[3,5.50)' WHERE id % 4 = 1; DELETE FROM banned WHERE id = 4; COMMIT",
		"UPDATE visits SET screen = CASE WHEN id % 2 = 0 THEN ROW(1, 2)::size END, flags = B'101', who = 'n3', ref = 4294967295 WHERE id % 3 = 0",
		"UPDATE visits SET doc = doc || '{\"level\": 3.0}' WHERE id % 7 = 0",
		"UPDATE visits SET doc = '[\"level\"]' WHERE id % 11 = 0",
		"DELETE FROM visits WHERE id % 6 = 0",
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
