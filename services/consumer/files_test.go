package consumer

import (
	"testing"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/change"
)

func TestNewFilesOfPartitionsNeedATruncationInTheStream(t *testing.T) {
	table := func(file uint32, filed string) *pg.TableInfo {
		return &pg.TableInfo{
			Relation:   change.Relation{OID: 1, Schema: "public", Name: "t"},
			Partitions: []pg.PartitionInfo{{OID: 2, Schema: "public", Name: "t1", File: 10, Filed: "5"}, {OID: 3, Schema: "public", Name: "t2", File: file, Filed: filed}},
		}
	}
	read := truncations{}
	fragment := func(xid change.XID, kinds ...change.Kind) *change.Fragment {
		f := &change.Fragment{XID: xid}
		for _, k := range kinds {
			f.Ops = append(f.Ops, change.Op{Kind: k})
		}
		return f
	}
	if read.read(1, fragment(7, change.Insert, change.Update)) || !read.read(1, fragment(8, change.Insert, change.Truncate)) || !read.read(9, fragment(6, change.Truncate)) {
		t.Error("a fragment's truncations are not told right")
	}
	was := table(20, "5")
	for _, tt := range []struct {
		name string
		now  *pg.TableInfo
		end  bool
	}{
		{"the same file", table(20, "7"), false},
		{"a new file by a truncation of the table", table(21, "8"), false},
		{"a new file by a transaction without one", table(21, "7"), true},
		{"a new file by a truncation of another table", table(21, "6"), true},
	} {
		if got := was.DiffFiles(tt.now, read.explain(1)) != ""; got != tt.end {
			t.Errorf("%s: ends %t, want %t", tt.name, got, tt.end)
		}
	}
	for xid := range change.XID(2 * maxTruncations) {
		read.read(1, fragment(100+xid, change.Truncate))
	}
	if len(read[1]) != maxTruncations || !read.explain(1)("131") || read.explain(1)("8") {
		t.Errorf("of many truncations these are remembered: %v", read[1])
	}
}
