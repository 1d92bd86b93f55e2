package client_test

import (
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/natsembed"
)

var typed = []control.Column{
	{Name: "id", Type: 20, TypeName: "bigint", Key: true},
	{Name: "title", Type: 25, TypeName: "text"},
	{Name: "done", Type: 16, TypeName: "boolean"},
	{Name: "price", Type: 1700, TypeName: "numeric"},
	{Name: "at", Type: 1184, TypeName: "timestamp with time zone"},
	{Name: "tags", Type: 1009, TypeName: "text[]"},
	{Name: "doc", Type: 3802, TypeName: "jsonb"},
	{Name: "mood", Type: 99999, TypeName: "mood"},
	{Name: "ident", Type: 2950, TypeName: "uuid"},
}

// rowsOf returns the snapshot's rows, and a key that a delete holds.
func rowsOf(t *testing.T, rows ...[]string) (got []client.Row, key client.Row) {
	t.Helper()
	b := newBench(t, natsembed.Options{})
	l := b.newLog(typed, true)
	l.snapshot(1, rows...)
	l.op(100, 0, change.Delete, rows[0][0])
	l.commit(100, 2)
	l.write()
	for e, err := range l.open().Subscribe(client.Beginning(), client.Options{}).Events(t.Context()) {
		ok(t, err)
		switch e := e.(type) {
		case client.Change:
			if e.Kind == client.Delete {
				return got, e.Row.Clone()
			}
			got = append(got, e.Row.Clone())
		case client.CaughtUp:
			t.Fatal("no delete came")
		}
	}
	return nil, client.Row{}
}

func TestRowScan(t *testing.T) {
	full := []string{"42", "it", "t", "12.50", "2024-02-29 12:34:56.789+00", `{a,"b c",NULL}`, `{"a": [1]}`, "glad", "7f3a1a3e-0d4c-4b7e-9c55-0123456789ab"}
	bare := []string{"43", null, null, null, null, null, null, null, null}
	rows, key := rowsOf(t, full, bare)

	t.Run("reads Go types", func(t *testing.T) {
		var (
			id    int
			title string
			done  bool
			price pgtype.Numeric
			when  time.Time
			tags  []*string
			doc   map[string][]int
			mood  string
			ident [16]byte
		)
		ok(t, rows[0].Scan(&id, &title, &done, &price, &when, &tags, &doc, &mood, &ident))
		if id != 42 || title != "it" || !done || price.Int.Cmp(big.NewInt(1250)) != 0 || !when.Equal(time.Date(2024, 2, 29, 12, 34, 56, 789e6, time.UTC)) ||
			len(tags) != 3 || *tags[1] != "b c" || tags[2] != nil || doc["a"][0] != 1 || mood != "glad" || ident[0] != 0x7f {
			t.Error(id, title, done, price, when, tags, doc, mood, ident)
		}
	})
	t.Run("reads NULL where it can be held, and says where not", func(t *testing.T) {
		title, done := new("x"), new(true)
		ok(t, rows[1].Scan(nil, &title, &done, nil, nil, nil, nil, nil, nil))
		if title != nil || done != nil {
			t.Error(title, done)
		}
		var s string
		if err := rows[1].ScanColumn("title", &s); err == nil || !strings.Contains(err.Error(), "title of type text") || !strings.Contains(err.Error(), "NULL") {
			t.Errorf("got %v", err)
		}
		if err := rows[1].ScanColumn("mood", &s); err == nil {
			t.Error("NULL of a type that nobody knows is read into a string")
		}
	})
	t.Run("reads structs by their fields' names with pgx", func(t *testing.T) {
		type task struct {
			ID    int64
			Title *string
			Done  *bool
			Mood  *string
		}
		got, err := pgx.RowToStructByNameLax[struct {
			task

			Price, At, Tags, Doc, Ident any
		}](rows[0])
		ok(t, err)
		if got.ID != 42 || *got.Title != "it" || !*got.Done || *got.Mood != "glad" {
			t.Errorf("got %+v", got)
		}
		m, err := pgx.RowToMap(rows[1])
		ok(t, err)
		if m["id"] != int64(43) || m["title"] != nil || len(m) != len(typed) {
			t.Errorf("got %v", m)
		}
	})
	t.Run("reads the key of a delete", func(t *testing.T) {
		var id int64
		ok(t, key.Scan(&id))
		if id != 42 {
			t.Error(id)
		}
		if err := key.ScanColumn("title", new(string)); err == nil || !strings.Contains(err.Error(), "does not hold") {
			t.Errorf("got %v", err)
		}
	})
	t.Run("says what does not fit", func(t *testing.T) {
		if err := rows[0].Scan(new(int)); err == nil || !strings.Contains(err.Error(), "9 values") {
			t.Errorf("got %v", err)
		}
		if err := rows[0].ScanColumn("title", new(int)); err == nil || !strings.Contains(err.Error(), "title") {
			t.Errorf("got %v", err)
		}
	})
}
