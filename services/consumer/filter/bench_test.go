package filter

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/internal/predicate"
	"github.com/shapebus/shapebus/internal/predicate/access"
)

// BenchmarkSet is what a change of a value set costs, and what a row of its table costs, beside the shapes attached and the
// values in it.
func BenchmarkSet(b *testing.B) {
	outer, inner, ok := predicate.MemberKeys(predicate.KeyColumn{Index: 1, TypeOID: 20}, predicate.KeyColumn{Index: 0, TypeOID: 20})
	if !ok {
		b.Fatal("no keys")
	}
	for _, n := range []int{1, 1000, 100_000} {
		x := New[int]()
		shared := x.NewSet([]access.Key{outer}, []access.Key{inner})
		for i := range n { // a shape each, and a set of one value each beside the one they share
			own := x.NewSet([]access.Key{outer}, []access.Key{inner})
			own.Put([]byte(strconv.Itoa(i)))
			x.Add(i, access.MemberOf(0, outer), own)
			shared.Put([]byte(strconv.Itoa(-1 - i)))
		}
		value := []byte("500")
		row, none := taskRow("1", "0"), taskRow("1", "x")
		b.Run(fmt.Sprintf("put and drop/sets=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				shared.Put(value)
				shared.Drop(value)
			}
		})
		b.Run(fmt.Sprintf("find one/sets=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if len(x.Find(row, row)) != 1 {
					b.Fatal("not found")
				}
			}
		})
		b.Run(fmt.Sprintf("find none/sets=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				x.Find(none, none)
			}
		})
	}
}

// BenchmarkAdd is a shape that comes and goes among others.
func BenchmarkAdd(b *testing.B) {
	for _, clause := range []string{"owner = $1", "owner > $1", "owner in ($1, 5, 6, 7) and project = 3"} {
		for _, n := range []int{1, 100_000} {
			b.Run(fmt.Sprintf("%s/shapes=%d", clause, n), func(b *testing.B) {
				x := New[int]()
				var last access.Path
				for i := range n {
					p, err := predicate.Compile(clause, []*string{new(strconv.Itoa(i))}, testTable, nil)
					if err != nil {
						b.Fatal(err)
					}
					last = p.Access()
					x.Add(i, last)
				}
				b.ReportAllocs()
				for b.Loop() {
					x.Remove(x.Add(0, last))
				}
			})
		}
	}
}

// BenchmarkPieces is what a text of a megabyte costs beside shapes with LIKE: one that holds no piece of theirs, and one that is
// made of a single one's.
func BenchmarkPieces(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		x := New[int]()
		for i := range n {
			p, err := predicate.Compile("status LIKE $1", []*string{new(fmt.Sprintf("%%%03d%%", i))}, testTable, nil)
			if err != nil {
				b.Fatal(err)
			}
			x.Add(i, p.Access())
		}
		for _, text := range []string{"none ", "000"} {
			row := [][]byte{2: []byte(strings.Repeat(text, 1_000_000/len(text)))}
			b.Run(fmt.Sprintf("%q/shapes=%d", text, n), func(b *testing.B) {
				b.SetBytes(int64(len(row[2])))
				for b.Loop() {
					x.Find(nil, row)
				}
			})
		}
	}
}
