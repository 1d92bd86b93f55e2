package oracle

import (
	"testing"

	"github.com/shapebus/shapebus/pkg/change"
)

// Of two rows that are the same, a transaction changes the one that it can have seen: the other was committed, and not visible yet.
func TestWhichOfTwoRowsThatAreTheSameIsMeant(t *testing.T) {
	notes := &Table{Schema: "public", Name: "notes", Columns: []Column{{Name: "code"}}}
	row := change.Row{[]byte("a")}
	insert := func(lsn change.LSN, xid change.XID) Txn {
		return Txn{LSN: lsn, XID: xid, Ops: []Op{{Table: notes.SQL(), Kind: change.Insert, New: row}}}
	}
	remove := Txn{LSN: 30, XID: 12, Ops: []Op{{Table: notes.SQL(), Kind: change.Delete, Old: row}}}
	for _, tt := range []struct {
		name  string
		txns  []Txn
		snaps []string
		want  int // the transaction that wrote the row that goes
	}{
		{"the older one", []Txn{insert(10, 10), insert(20, 11), remove}, nil, 1},
		{"the newer one is hidden", []Txn{insert(10, 10), insert(20, 11), remove}, []string{"11:13:11"}, 1},
		{"the older one is hidden", []Txn{insert(10, 10), insert(20, 11), remove}, []string{"10:13:10"}, 2},
		{"the older one is hidden, and so is who removes", []Txn{insert(10, 10), insert(20, 11), remove}, []string{"10:13:10,12"}, 1},
	} {
		var snapshots []change.Snapshot
		for _, text := range tt.snaps {
			s, err := change.ParseSnapshot(text)
			if err != nil {
				t.Fatal(err)
			}
			snapshots = append(snapshots, s)
		}
		h, err := newHistory(&Schema{Tables: []*Table{notes}}, tt.txns, snapshots)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range h.versions {
			if gone := v.dead != never; gone != (v.born == tt.want) {
				t.Errorf("%s: the row of transaction %d: gone %t", tt.name, v.born, gone)
			}
		}
	}
}
