package client

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client/event"
	"github.com/shapebus/shapebus/pkg/control"
)

func texts(row []string) change.Row {
	var r change.Row
	for _, v := range row {
		if v == "NULL" {
			r = append(r, nil)
		} else {
			r = append(r, []byte(v))
		}
	}
	return r
}

func shown1(r Row) string {
	var parts []string
	for i := range r.Len() {
		if r.At(i) == nil {
			parts = append(parts, "NULL")
		} else {
			parts = append(parts, fmt.Sprintf("%q", r.At(i)))
		}
	}
	return strings.Join(parts, ",")
}

func contents(t *table) []string {
	var out []string
	for _, r := range t.all() {
		out = append(out, shown1(r))
	}
	slices.Sort(out)
	return out
}

// A table with a key does what a map does, and one without what a bag does.
func TestTable(t *testing.T) {
	for _, hasKey := range []bool{true, false} {
		t.Run(fmt.Sprintf("is what its ops say, with a primary key: %v", hasKey), func(t *testing.T) {
			l := event.NewLayout([]control.Column{{Name: "a", Key: true}, {Name: "v", Key: !hasKey}, {Name: "b", Key: true}})
			rapid.Check(t, func(t *rapid.T) {
				tab := newTable(l, hasKey)
				committed := map[string][]string{} // model: identity → the rows that have it
				value := rapid.SampledFrom([]string{"NULL", "", "x", "xx", "\x00"})
				var merged map[string][]string // what came and was not committed to the table; nil if nothing did
				for range rapid.IntRange(1, 8).Draw(t, "transactions") {
					now := maps.Clone(committed)
					if merged != nil {
						now = maps.Clone(merged)
						tab.mark()
					} else {
						tab.begin()
					}
					for range rapid.IntRange(0, 12).Draw(t, "ops") {
						row := []string{value.Draw(t, "a"), value.Draw(t, "v"), value.Draw(t, "b")}
						full := event.NewRow(l, texts(row), false)
						var keyValues change.Row
						for _, i := range l.Keys {
							keyValues = append(keyValues, full.At(i))
						}
						key := event.NewRow(l, keyValues, true)
						id := shown1(key)
						var err error
						legal := len(now[id]) > 0
						switch rapid.IntRange(0, 16).Draw(t, "kind") {
						case 0:
							ok(t, tab.apply(Change{Kind: change.Truncate}))
							now = map[string][]string{}
							continue
						case 1, 2, 3, 4:
							err = tab.apply(Change{Kind: change.Delete, Row: key})
							if legal {
								now[id] = now[id][1:]
							}
						case 13, 14:
							legal = true
							err = tab.apply(Change{Kind: change.Discard, Row: key})
							delete(now, id)
						case 15, 16:
							legal = true
							err = tab.apply(Change{Kind: change.Upsert, Row: full})
							now[id] = slices.Repeat([]string{shown1(full)}, max(len(now[id]), 1))
						case 5, 6, 7:
							err = tab.apply(Change{Kind: change.Update, Row: full})
							if legal && hasKey {
								now[id] = []string{shown1(full)}
							}
						default:
							legal = !hasKey || len(now[id]) == 0
							err = tab.apply(Change{Kind: change.Insert, Row: full})
							if legal {
								now[id] = append(slices.Clone(now[id]), shown1(full))
							}
						}
						if legal != (err == nil) {
							t.Fatalf("legal: %v, got %v", legal, err)
						}
					}
					switch rapid.IntRange(0, 3).Draw(t, "then") {
					case 0: // no commit came
						if merged != nil {
							tab.rollback()
						}
						continue
					case 1: // the next one comes on top
						merged = now
						continue
					}
					tab.commit()
					committed, merged = now, nil
					want := slices.Sorted(func(yield func(string) bool) {
						for _, rows := range committed {
							for _, r := range rows {
								if !yield(r) {
									return
								}
							}
						}
					})
					if got := contents(tab); !slices.Equal(got, want) || tab.length != len(want) {
						t.Fatalf("%d rows %q, want %q", tab.length, got, want)
					}
				}
			})
		})
	}
	t.Run("keeps a value that an update did not touch", func(t *testing.T) {
		l := event.NewLayout([]control.Column{{Name: "a", Key: true}, {Name: "big"}, {Name: "v"}})
		tab := newTable(l, true)
		ok(t, tab.apply(Change{Kind: change.Insert, Row: event.NewRow(l, texts([]string{"1", "large", "x"}), false)}))
		tab.commit()
		row := event.NewRow(l, change.Row{[]byte("1"), change.Unchanged(), []byte("y")}, false)
		if _, there := row.Text("big"); there || !row.Unchanged(1) || len(row.Map()) != 2 {
			t.Error("the row does not tell that a value is unchanged")
		}
		ok(t, tab.apply(Change{Kind: change.Update, Row: row}))
		tab.commit()
		if got := contents(tab); got[0] != `"1","large","y"` {
			t.Errorf("got %s", got)
		}
	})
}

func TestRow(t *testing.T) {
	l := event.NewLayout([]control.Column{{Name: "id", Key: true}, {Name: "note"}, {Name: "<part>", Key: true}})
	full := event.NewRow(l, texts([]string{"1", "NULL", ""}), false)
	key := event.NewRow(l, texts([]string{"1", "p"}), true)
	t.Run("tells NULL from the empty string and from what it does not hold", func(t *testing.T) {
		if _, there := full.Text("note"); there || !full.Has("note") {
			t.Error("NULL")
		}
		if v, there := full.Text("<part>"); !there || v != "" {
			t.Error("empty")
		}
		if _, there := full.Text("nope"); there || full.Has("nope") || key.Has("note") {
			t.Error("not there")
		}
		if v, there := key.Text("<part>"); !there || v != "p" {
			t.Error("a key's value")
		}
		if (Row{}).Has("id") || (Row{}).Bytes("id") != nil {
			t.Error("the empty row")
		}
	})
	t.Run("is JSON in the order of its columns", func(t *testing.T) {
		for r, want := range map[*Row]string{&full: `{"id":"1","note":null,"<part>":""}`, &key: `{"id":"1","<part>":"p"}`, {}: `{}`} {
			if got, err := r.MarshalJSON(); err != nil || string(got) != want {
				t.Errorf("%s %v, want %s", got, err, want)
			}
		}
	})
	t.Run("is its owner's once cloned", func(t *testing.T) {
		c := full.Clone()
		copy(full.At(0), "9")
		if v, _ := c.Text("id"); v != "1" || c.At(1) != nil || c.At(2) == nil {
			t.Errorf("the clone is %s", shown1(c))
		}
	})
}

func ok(t interface {
	Helper()
	Fatal(args ...any)
}, err error,
) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
