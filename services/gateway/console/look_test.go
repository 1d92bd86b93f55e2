package console

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/client/event"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/shape"
)

func titles(list []Happening) (out []string) {
	for _, h := range list {
		out = append(out, h.Title+" / "+h.Detail)
	}
	return out
}

func TestWhatHappenedBetweenTwoLooks(t *testing.T) {
	owner := func(n int, consumer, materializer string) control.PartitionOwner {
		return control.PartitionOwner{Partition: n, Consumer: consumer, Materializer: materializer}
	}
	before := control.Status{
		SlotActive: true, Owners: []control.PartitionOwner{owner(0, "a", "m"), owner(1, "a", "m"), owner(2, "a", "m")},
		Down: []control.PartitionDown{{Partition: 0, Reason: "full"}}, Problems: []string{"old"},
	}
	now := control.Status{
		Owners: []control.PartitionOwner{owner(0, "b", "m"), owner(1, "a", "m"), owner(2, "b", "")},
		Down:   []control.PartitionDown{{Partition: 1, Reason: "no leader"}}, Problems: []string{"new"},
	}
	want := []string{
		"Partitions 0, 2 handed over / consumer: a → b", "Partition 2: no materializer has it / m gave up",
		"Partition 1 cannot be written, and is tried again / no leader", "Partition 0 is written again / ",
		"Somebody has to mend something / new", "A problem is over / old",
		"Nobody reads the slot / ingest has stopped, or lost its connection; Postgres keeps WAL until one reads again",
	}
	if got := titles(compare(&before, &now)); !slices.Equal(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
	if got := compare(&now, &now); len(got) > 0 {
		t.Errorf("nothing happened, and %q is told", titles(got))
	}
}

func itemsOf(shapes []control.Shape) (out []item) {
	for i := range shapes {
		out = append(out, itemOf(&shapes[i]))
	}
	return out
}

// A list of shapes with large clauses is not large.
func TestLargeClausesAreNotKept(t *testing.T) {
	s := control.Shape{Where: strings.Repeat("é", 32<<10), Reason: strings.Repeat("x", 10_000), Params: make([]*string, 100), Columns: []control.Column{{Name: "id", Key: true}, {Name: "v"}}, HasKey: true}
	it := itemOf(&s)
	if n := len(it.Where) + len(it.Reason); n > 2*keptText+20 || it.Params != nil || it.Columns != nil {
		t.Errorf("%d bytes are kept", n)
	}
	if l := it.listed(); l.Params != 100 || l.Columns != 2 || !slices.Equal(l.Key, []string{"id"}) || len(l.Where) > listedClause+10 {
		t.Errorf("it is listed as %+v", l)
	}
}

func TestWhatHappenedToShapes(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	of := func(id, handle string, state control.State, more ...func(*control.Shape)) control.Shape {
		s := control.Shape{ID: id, Handle: handle, State: state, Schema: "public", Table: id}
		for _, f := range more {
			f(&s)
		}
		return s
	}
	because := func(why string) func(*control.Shape) { return func(s *control.Shape) { s.Reason = why } }
	before := newInventory(at, itemsOf([]control.Shape{of("a", "a1", control.StateCreating), of("b", "b1", control.StateLive), of("c", "c1", control.StateEnded, because("it changed")), of("d", "d1", control.StateLive)}), false, nil, nil)
	now := newInventory(at.Add(time.Second), itemsOf([]control.Shape{
		of("a", "a1", control.StateLive, func(s *control.Shape) { s.SnapshotRows = 5 }), of("b", "b1", control.StateEnded, because("the table was dropped")), of("c", "c2", control.StateCreating),
		of("e", "e1", control.StateLive, func(s *control.Shape) { s.Fold = &control.Fold{Error: "no room"} }),
	}), false, before, map[string]float64{"a1": 0.5, "gone": 2})
	want := []string{
		"Shape of a is live / 5 rows read", "Shape of b ended / the table was dropped", "Shape of c was made again / it changed", "Shape of e was made / ",
		"Folding the log of Shape of e failed, and is tried again / no room", "Shape of d was deleted / ",
	}
	if got := titles(compareShapes(before, now)); !slices.Equal(got, want) {
		t.Errorf("%q\nwant\n%q", got, want)
	}
	if got := now.find(question{sort: "cpu"}).Shapes[0]; got.ID != "a" || got.CPU != 0.5 {
		t.Errorf("what costs most is %+v", got)
	}
	if got := now.cost(&control.Shape{ID: "a", Handle: "a1"}); got.CPU != 0.5 {
		t.Errorf("it costs %+v", got)
	}
	if got := now.cost(&control.Shape{ID: "a", Handle: "a0"}); got.CPU != 0 {
		t.Errorf("a life before costs %+v", got)
	}
	if got := titles(compareShapes(nil, before)); !slices.Equal(got, []string{"Shape of c ended / it changed"}) {
		t.Errorf("at the first look %q", got)
	}
}

func TestShapesAreFound(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	var shapes []control.Shape
	for i := range 300 {
		s := control.Shape{ID: fmt.Sprintf("%016x", i), Handle: fmt.Sprintf("%016x-h", i), State: control.StateLive, Schema: "public", Table: "tasks", Where: fmt.Sprintf("owner = 'Ann%d'", i), Rows: int64(i)}
		if i%100 == 0 {
			s.State, s.Reason = control.StateEnded, "its table was dropped"
		}
		if i%10 == 1 {
			s.Inner = true
		}
		shapes = append(shapes, s)
	}
	v := newInventory(at, itemsOf(shapes), false, nil, nil)
	for name, c := range map[string]struct {
		q            question
		total, shown int
	}{
		"all":             {question{}, 270, 200},
		"with inner ones": {question{inner: true}, 300, 200},
		"words":           {question{text: "ANN29 tasks"}, 10, 10},
		"a reason":        {question{text: "dropped"}, 3, 3},
		"a state":         {question{state: control.StateEnded}, 3, 3},
		"nothing":         {question{text: "zebra"}, 0, 0},
		"a long text":     {question{text: strings.Repeat("x", 10_000)}, 0, 0},
	} {
		got := v.find(c.q)
		if got.Total != c.total || len(got.Shapes) != c.shown || got.Of != 300 {
			t.Errorf("%s: %d, %d shown, of %d", name, got.Total, len(got.Shapes), got.Of)
		}
	}
	if got := v.find(question{sort: "rows"}).Shapes[0].Rows; got != 299 {
		t.Errorf("the first by rows has %d", got)
	}
	if got := (*inventory)(nil).find(question{}); got.Shapes == nil || got.Total != 0 {
		t.Errorf("before there is a list: %+v", got)
	}
}

func TestRatesDoNotJump(t *testing.T) {
	r := 0.0
	for range 30 {
		r = smooth(r, 1000, time.Second)
	}
	if r < 990 || r > 1010 {
		t.Errorf("after 30 s of 1000 a second it is %f", r)
	}
	if next := smooth(r, 0, time.Second); next < 600 || next > 900 {
		t.Errorf("a second without anything makes it %f", next)
	}
	for range 60 {
		r = smooth(r, 0, time.Second)
	}
	if r != 0 {
		t.Errorf("it does not come to rest: %f", r)
	}
}

var layout = event.NewLayout([]control.Column{{Name: "id", Key: true}, {Name: "v"}})

func rowOf(values ...string) client.Row {
	var of change.Row
	for _, v := range values {
		of = append(of, []byte(v))
	}
	return event.NewRow(layout, of, len(values) == 1)
}

func TestRowsAreThoseOfCommits(t *testing.T) {
	f := newFeed(&room{limit: maxPages})
	f.begin(true)
	note := func(events ...client.Event) {
		t.Helper()
		for _, e := range events {
			if err := f.note(e); err != nil {
				t.Fatal(err)
			}
		}
	}
	note(client.Begin{Snapshot: true}, client.Change{Kind: client.Insert, Row: rowOf("1", "a")})
	if out, some := f.take(); some {
		t.Errorf("before the snapshot's commit %+v is told", out)
	}
	note(client.Change{Kind: client.Insert, Row: rowOf("2", "b")}, client.Commit{Snapshot: true})
	out, _ := f.take()
	if out.Rows == nil || !out.Rows.All || out.Rows.Total != 2 || len(out.News) != 1 || len(out.News[0].Changes) > 0 {
		t.Errorf("the snapshot is %+v", out)
	}
	note(client.Begin{XID: 7}, client.Change{Kind: client.Update, Row: rowOf("1", "c")}, client.Abort{})
	if out, some := f.take(); some {
		t.Errorf("of what was taken back %+v is told", out)
	}
	note(client.Begin{XID: 7, Unit: true}, client.Change{Kind: client.Upsert, XID: 7, Row: rowOf("1", "c")}, client.Change{Kind: client.Discard, XID: 8, Row: rowOf("2")}, client.Commit{Unit: true, LSN: 0x10})
	out, _ = f.take()
	if out.Rows == nil || out.Rows.All || len(out.Rows.Set) != 1 || !slices.Equal(out.Rows.Gone, []string{`["2"]`}) || out.News[0].XIDs != 2 || out.News[0].Count != 2 {
		t.Errorf("a unit is %+v, rows %+v", out, out.Rows)
	}
	note(client.Begin{}, client.Change{Kind: client.Truncate}, client.Change{Kind: client.Insert, Row: rowOf("9", strings.Repeat("é", maxValue))}, client.Commit{})
	out, _ = f.take()
	if out.Rows == nil || !out.Rows.All || out.Rows.Total != 1 {
		t.Errorf("a truncated table is %+v", out.Rows)
	}
	if v := out.Rows.Set[`["9"]`][1]; v.Bytes != 2*maxValue || len(*v.Text) > maxValue {
		t.Errorf("a long value is %d of %d bytes", len(*v.Text), v.Bytes)
	}
}

// A page that is slow, a transaction that is large and a shape that grows take bounded memory.
func TestWhatIsGatheredIsBounded(t *testing.T) {
	f := newFeed(&room{limit: maxPages})
	f.begin(false)
	for i := range 3 * maxNews {
		_ = f.note(client.Begin{XID: change.XID(i + 1)})
		for range 3 * maxChanges {
			_ = f.note(client.Change{Kind: client.Insert, Row: rowOf("1", "x")})
		}
		_ = f.note(client.Commit{})
	}
	out, _ := f.take()
	if len(out.News) != maxNews || out.Skipped != 2*maxNews || len(out.News[0].Changes) != maxChanges || out.News[0].Count != 3*maxChanges || out.News[maxNews-1].Seq != 3*maxNews {
		t.Errorf("%d are told, %d not, %d changes of %d", len(out.News), out.Skipped, len(out.News[0].Changes), out.News[0].Count)
	}
	f.begin(true)
	var err error
	_ = f.note(client.Begin{})
	for i := 0; err == nil && i < 10*maxStage; i++ {
		err = f.note(client.Change{Kind: client.Insert, Row: rowOf(fmt.Sprint(i), "x")})
	}
	if !errors.Is(err, errManyRows) {
		t.Errorf("a large transaction: %v", err)
	}
	f.begin(true)
	for i := range maxRows + 1 {
		_ = f.note(client.Begin{})
		_ = f.note(client.Change{Kind: client.Insert, Row: rowOf(fmt.Sprint(i), "x")})
		err = f.note(client.Commit{})
	}
	if !errors.Is(err, errManyRows) {
		t.Errorf("a shape that grows: %v", err)
	}
}

// All pages together take bounded memory, wide tables or many pages; what closes gives its room back.
func TestAllPagesTogetherAreBounded(t *testing.T) {
	r := &room{limit: 20 << 20}
	wide := make([]string, 500)
	for i := range wide {
		wide[i] = strings.Repeat("x", maxValue)
	}
	columns := make([]control.Column, len(wide))
	columns[0].Key = true
	of := event.NewLayout(columns)
	change := func(key int) client.Change {
		wide[0] = fmt.Sprint(key)
		var row change.Row
		for _, v := range wide {
			row = append(row, []byte(v))
		}
		return client.Change{Kind: client.Insert, Row: event.NewRow(of, row, false)}
	}
	fill := func(f *feed) (err error) {
		for i := 0; err == nil && i < 20; i++ {
			_ = f.note(client.Begin{})
			if err = f.note(change(i)); err == nil {
				err = f.note(client.Commit{})
			}
		}
		return err
	}
	var pages []*feed
	var err error
	for err == nil && len(pages) < 100 {
		f := newFeed(r)
		f.begin(true)
		pages = append(pages, f)
		err = fill(f)
	}
	if !errors.Is(err, errNoRoom) || len(pages) < 2 {
		t.Fatalf("%d pages: %v", len(pages), err)
	}
	if kept := r.kept.Load(); kept > r.limit || kept < r.limit/2 {
		t.Errorf("%d bytes are kept of at most %d", kept, r.limit)
	}
	// The page that has no room goes on without its rows, and is told that something changed.
	last := pages[len(pages)-1]
	last.begin(false)
	if err := fill(last); err != nil {
		t.Error(err)
	}
	out, _ := last.take()
	if n := len(out.News); n == 0 || out.News[n-1].Count != 1 {
		t.Errorf("it is told %+v", out)
	}
	size := 0
	for _, tx := range out.News {
		size += tx.size
	}
	if size > maxDetails {
		t.Errorf("%d bytes of changes wait for it", size)
	}
	for _, f := range pages {
		f.close()
	}
	if kept := r.kept.Load(); kept != 0 {
		t.Errorf("%d bytes are kept for nobody", kept)
	}
}

// What is large is told in pieces, which together are the rows.
func TestRowsAreToldInPieces(t *testing.T) {
	f := newFeed(&room{limit: maxPages})
	f.begin(true)
	_ = f.note(client.Begin{})
	for i := range 900 {
		if err := f.note(client.Change{Kind: client.Insert, Row: rowOf(strings.Repeat("k", 4000)+fmt.Sprint(i), "v")}); err != nil {
			t.Fatal(err)
		}
	}
	_ = f.note(client.Commit{})
	told, pieces := map[string]bool{}, 0
	for more := true; more; pieces++ {
		out, some := f.take()
		if !some || out.Rows == nil || out.Rows.All != (pieces == 0) || out.Rows.Total != 900 {
			t.Fatalf("piece %d is %+v", pieces, out.Rows)
		}
		size := 0
		for key, v := range out.Rows.Set {
			told[key] = true
			size += sizeOf(key, v)
		}
		if size > maxSent+1<<16 {
			t.Errorf("a piece has %d bytes", size)
		}
		more = out.Rows.More
	}
	if len(told) != 900 || pieces < 3 {
		t.Errorf("%d rows are told in %d pieces", len(told), pieces)
	}
	if out, some := f.take(); some {
		t.Errorf("behind the last piece %+v is told", out)
	}
}

// Pages give a table's name back as they got it, for the control plane to read.
func TestTablesAreNamedAsSQLWritesThem(t *testing.T) {
	for want, s := range map[string]control.Shape{
		`tasks`:             {Schema: "public", Table: "tasks"},
		`"Tasks"`:           {Schema: "public", Table: "Tasks"},
		`app."my ""tasks"`:  {Schema: "app", Table: `my "tasks`},
		`"My.App".tasks$_1`: {Schema: "My.App", Table: "tasks$_1"},
	} {
		got := tableOf(&s)
		if schema, table, err := shape.ParseTable(got); got != want || err != nil || schema != s.Schema || table != s.Table {
			t.Errorf("%s.%s is told as %s, want %s; it is read as %s.%s, %v", s.Schema, s.Table, got, want, schema, table, err)
		}
	}
}
