package shapes

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/client/event"
	"github.com/shapebus/shapebus/pkg/wire"
	"github.com/shapebus/shapebus/services/gateway/protocol"
)

// Who has a beginning goes on behind its marker, or from where it is. Of a beginning that is not known any more it is only known
// that what stands before the newest one's marker may not be told it.
func TestWhereAReaderGoesOn(t *testing.T) {
	generation := func(n uint64) *Beginning {
		return &Beginning{handle: fmt.Sprint("h_", n), gen: &wire.Generation{LSN: n, Op: 2}}
	}
	first, older, newest, gone := &Beginning{handle: "h"}, generation(80), generation(160), &Beginning{handle: "h_7", gone: true}
	unit := &Beginning{handle: "h_9", gen: &wire.Generation{LSN: 80}} // of a unit that had nothing to say but what it deferred
	s := &Shape{begins: []*Beginning{first, older, newest}}
	at := func(lsn change.LSN, op uint64) protocol.Offset {
		return protocol.Offset{Offset: change.Offset{LSN: lsn, Op: op}}
	}
	entry := func(lsn change.LSN, op uint64) Place { return Place{Offset: change.Offset{LSN: lsn, Op: op}} }
	for _, c := range []struct {
		name   string
		begin  *Beginning
		at     protocol.Offset
		want   Place
		failed error
	}{
		{"behind the snapshot's rows", first, at(0, 3), Place{}, nil},
		{"in the log", first, at(40, 4), entry(40, 4), nil},
		{"behind a generation's rows", older, at(0, 3), entry(80, 2), nil},
		{"behind all of them", older, at(0, 1<<63), entry(80, 2), nil},
		{"behind the rows of a unit's generation, which lack what it deferred", unit, at(0, 3), entry(80, 0), nil},
		{"behind what it deferred", unit, at(80, 4), entry(80, 4), nil},
		{"at its marker", older, at(80, 2), entry(80, 2), nil},
		{"behind it", older, at(88, 4), entry(88, 4), nil},
		{"before it, where nobody who has the generation is", older, at(40, 4), entry(80, 2), nil},
		{"what clients make of the LSN of the marker", older, at(81, 0), entry(80, math.MaxUint64), nil},
		{"in rows that are gone", gone, at(0, 3), Place{}, ErrGone},
		{"in a log that is gone", gone, at(100, 2), entry(100, 2), ErrGone},
		{"behind what is gone", gone, at(160, 2), entry(160, 2), nil},
		{"the end, whatever it had", gone, protocol.Offset{Now: true}, Place{Now: true}, nil},
	} {
		if got, err := s.From(c.begin, c.at); got != c.want || !errors.Is(err, c.failed) || (err == nil) != (c.failed == nil) {
			t.Errorf("%s: %s goes on at %v (%v), want %v (%v)", c.name, c.at, got, err, c.want, c.failed)
		}
	}
	s.looked = time.Now()
	for handle, want := range map[string]*Beginning{"": newest, "h": first, "h_80": older} {
		if got, err := s.Beginning(t.Context(), handle); err != nil || got != want {
			t.Errorf("%q is %v (%v)", handle, got, err)
		}
	}
}

// Rows of other numbers are of another generation, also where the server has lost one and its number was given again; all are of one shape.
func TestHandlesOfGenerations(t *testing.T) {
	one, two := handleOf("537a-hoe9", &wire.Generation{Number: 3, Segment: 1_700_000_000_000_000}), handleOf("537a-hoe9", &wire.Generation{Number: 3, Segment: 1_700_000_000_000_001})
	if one == two || LifeOf(one) != "537a-hoe9" || LifeOf(two) != LifeOf("537a-hoe9") {
		t.Errorf("%s and %s", one, two)
	}
}

// What a generation's chunks of changes say does not depend on how they are cut, and is what its rows lack up to its marker.
func TestChunksOfChangesAreWhatTheRowsLack(t *testing.T) {
	columns := []client.Column{{Name: "id", Key: true}, {Name: "v"}}
	g := &wire.Generation{SnapshotLSN: 100, Besides: []uint64{70}, LSN: 130, Op: 6}
	row := func(values ...string) (r change.Row) {
		for _, v := range values {
			r = append(r, []byte(v))
		}
		return r
	}
	b := wire.NewLogBuilder()
	write := func(lsn change.LSN, ops ...int) {
		f := change.Fragment{LSN: lsn, XID: change.XID(lsn)}
		for i, n := range ops {
			kind, r := change.Insert, row(fmt.Sprint(n), strings.Repeat("x", 40))
			if n < 0 {
				kind, r = change.Delete, row(fmt.Sprint(-n))
			}
			b.Op(&f, uint64(2*i+2), kind, r, []int{0, 1}[:len(r)])
		}
		f.Last, f.End = true, uint64(2*len(ops)+2)
		b.Commit(&f)
	}
	write(60, 1, 2)      // in the rows
	write(70, 3, 4, -3)  // not seen by the snapshot
	write(90, 5)         // in the rows
	write(110, 6, 7, -6) // behind it
	write(130, 8, -7)    // up to the marker
	write(140, 9)        // behind that
	data := b.Finish()
	for _, limit := range []int{1, 150, 1 << 20} {
		var all []string
		skip, chunks := 0, 0
		for more := true; more; chunks++ {
			c := changesChunk{gen: g, layout: event.NewLayout(columns), build: builder{encoder: protocol.NewEncoder("public", "t", []string{"id", "v"}, []string{"id"})}, limit: limit, skip: skip}
			err := c.message(data)
			if more = errors.Is(err, errChunkDone); !more {
				if err != nil {
					t.Fatal(err)
				}
				c.build.close(true)
			}
			skip = c.taken
			body, from := c.body(), 0
			for _, end := range body.ends {
				all = append(all, string(body.messages[from:end]))
				from = end + 1
			}
		}
		var got []string
		for _, m := range all {
			_, rest, _ := strings.Cut(m, `t\"/\"`)
			id, _, _ := strings.Cut(rest, `\"`)
			_, op, _ := strings.Cut(m, `"operation":"`)
			_, lsn, _ := strings.Cut(m, `"lsn":"`)
			text := op[:1] + id + "@" + lsn[:strings.IndexByte(lsn, '"')]
			if strings.HasSuffix(m, `"last":true}}`) {
				text += "."
			}
			got = append(got, text)
		}
		if want := "i3@70 i4@70 d3@70. i6@110 i7@110 d6@110. i8@130 d7@130."; strings.Join(got, " ") != want {
			t.Errorf("chunks of %d bytes: %s, want %s", limit, strings.Join(got, " "), want)
		}
		if limit == 1 && chunks != 8 || limit == 1<<20 && chunks != 1 {
			t.Errorf("chunks of %d bytes: there are %d", limit, chunks)
		}
	}
}
