package demo

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/shapebus/shapebus/internal/term"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
)

func TestCopyJudgesWhatComes(t *testing.T) {
	at := func(lsn change.LSN, op uint64) change.Offset { return change.Offset{LSN: lsn, Op: op} }
	gone := func(o change.Offset) client.Change { return client.Change{Kind: change.Truncate, Offset: o} }
	whole := []client.Event{
		client.Begin{Snapshot: true},
		client.Commit{Snapshot: true},
		client.Begin{XID: 7},
		gone(at(10, 2)), gone(at(10, 4)),
		client.Commit{XID: 7, Offset: at(10, 6), Changes: 2},
		client.Begin{XID: 9},
		gone(at(12, 2)),
		client.Commit{XID: 9, Offset: at(12, 4), Changes: 1},
	}
	for _, c := range []struct {
		name                string
		events              []client.Event
		ledger              map[uint32]uint64
		order, transactions string // contained in what is wrong; "" for nothing
	}{
		{"what the database wrote is right", whole, map[uint32]uint64{7: 2, 9: 1}, "", ""},
		{"half a transaction is not", whole, map[uint32]uint64{7: 3, 9: 1}, "", "transaction 7 came with 2 changes, the database wrote 3"},
		{"a transaction may not be missing", whole, map[uint32]uint64{7: 2, 8: 5, 9: 1}, "", "transaction 8 of 5 changes never came"},
		{"a transaction may not be invented", whole, map[uint32]uint64{7: 2}, "", "transaction 9 came with 1 change, the database wrote none"},
		{"a transaction may not come twice", append(slices.Clip(whole),
			client.Begin{XID: 9}, gone(at(14, 2)), client.Commit{XID: 9, Offset: at(14, 4), Changes: 1}), map[uint32]uint64{7: 2, 9: 1}, "", "transaction 9 came twice"},
		{"a unit may be taken back, and come again", append(slices.Clip(whole),
			client.Begin{XID: 10, Unit: true}, gone(at(13, 2)), client.Abort{Offset: at(12, 4)},
			client.Begin{XID: 10, Unit: true}, gone(at(13, 2)), client.Commit{XID: 11, Unit: true, Offset: at(14, 4), Changes: 1}), map[uint32]uint64{7: 2, 9: 1}, "", ""},
		{"but not to somewhere else", append(slices.Clip(whole),
			client.Begin{XID: 10, Unit: true}, gone(at(13, 2)), client.Abort{Offset: at(10, 6)}), map[uint32]uint64{7: 2, 9: 1}, "", "a unit is taken back to 10_6, the last commit was 12_4"},
		{"offsets may not repeat", append(slices.Clip(whole),
			client.Begin{XID: 11}, gone(at(12, 4)), client.Commit{XID: 11, Offset: at(14, 4), Changes: 1}), map[uint32]uint64{7: 2, 9: 1, 11: 1}, "offset 12_4 after 12_4", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			copied := newReplica()
			copied.units = &toggles{}
			for _, e := range c.events {
				copied.take(e, time.Now())
			}
			order, transactions := copied.problems(c.ledger)
			if order != c.order || transactions != c.transactions {
				t.Errorf("order %q, transactions %q; want %q and %q", order, transactions, c.order, c.transactions)
			}
		})
	}
}

func TestCopyUndoesWhatIsTakenBack(t *testing.T) {
	c := newReplica()
	c.units = &toggles{}
	c.rows[1], c.rows[2] = 11, 22
	c.take(client.Begin{Unit: true}, time.Now())
	c.take(client.Change{Kind: change.Truncate, Offset: change.Offset{LSN: 9}}, time.Now())
	if len(c.rows) != 0 {
		t.Errorf("rows %v", c.rows)
	}
	c.take(client.Abort{}, time.Now())
	if want := map[int64]uint64{1: 11, 2: 22}; !maps.Equal(c.rows, want) {
		t.Errorf("rows %v, want %v", c.rows, want)
	}
}

func TestCopyTellsWhichRowsDiffer(t *testing.T) {
	row := func(values ...string) change.Row {
		var r change.Row
		for _, v := range values {
			r = append(r, []byte(v))
		}
		return r
	}
	c := newReplica()
	c.rows[1], c.rows[2], c.rows[3] = c.digestOf(row("1", "a")), c.digestOf(row("2", "b")), c.digestOf(row("3", ""))
	for _, test := range []struct {
		want string
		rows []change.Row
	}{
		{"", []change.Row{row("1", "a"), row("2", "b"), row("3", "")}},
		{"1 wrong row: row 2 differs", []change.Row{row("1", "a"), row("2", "B"), row("3", "")}},
		{"1 wrong row: row 3 differs", []change.Row{row("1", "a"), row("2", "b"), {[]byte("3"), nil}}},
		{"1 wrong row: row 4 is missing", []change.Row{row("1", "a"), row("2", "b"), row("3", ""), row("4", "d")}},
		{"1 wrong row: 1 row too many", []change.Row{row("1", "a"), row("2", "b")}},
	} {
		got, err := c.compare(func(f func(change.Row)) error {
			for _, r := range test.rows {
				f(r)
			}
			return nil
		})
		if got != test.want || err != nil {
			t.Errorf("got %q, %v; want %q", got, err, test.want)
		}
	}
}

func TestBoardFitsTheTerminal(t *testing.T) {
	b := board{
		shapes: []boardRow{{"support's comments, 30 days", "1,234,567", "12,345", "6,789", "+ 17 Wäre das nicht schön? " + strings.Repeat("é", 80)}},
		source: strings.Repeat("source ", 30), memory: strings.Repeat("memory ", 30),
	}
	for _, width := range []int{1, 20, 79, 200} {
		for _, line := range boardLines(b, "one transaction of 1,000,000 rows is being written", width, term.Palette{}) {
			if n := utf8.RuneCountInString(line); n > max(width, 2) {
				t.Errorf("%d columns on a terminal of %d: %q", n, width, line)
			}
		}
	}
}
