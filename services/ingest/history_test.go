package ingest

import (
	"strings"
	"testing"
	"time"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/slots"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
)

func TestHistory(t *testing.T) {
	rec := record{Database: pg.Database{SystemID: "1", Name: "app"}, Timeline: 1, History: "h", Acked: 1200, Last: 1000}
	for _, tt := range []struct {
		name   string
		first  bool
		id     identity
		tail   change.LSN
		begins string
		err    string
	}{
		{"the same server", false, identity{Database: pg.Database{SystemID: "1", Name: "app"}, timeline: 1, flushed: 2000}, 900, "", ""},
		{"a server that has all that was published", false, identity{Database: pg.Database{SystemID: "1", Name: "app"}, timeline: 2, flushed: 1000, branched: 1000}, 1000, "", ""},
		{"one whose WAL ends before", false, identity{Database: pg.Database{SystemID: "1", Name: "app"}, timeline: 1, flushed: 999}, 900, "earlier point", ""},
		{"one whose WAL ends before what only the log knows of", false, identity{Database: pg.Database{SystemID: "1", Name: "app"}, timeline: 1, flushed: 1050}, 1100, "earlier point", ""},
		{"one that left the timeline before", false, identity{Database: pg.Database{SystemID: "1", Name: "app"}, timeline: 2, flushed: 5000, branched: 999}, 900, "left timeline 1", ""},
		{"another cluster", false, identity{Database: pg.Database{SystemID: "2", Name: "app"}, timeline: 1, flushed: 5000}, 900, "", "another Postgres cluster"},
		{"another database of the cluster", false, identity{Database: pg.Database{SystemID: "1", Name: "test"}, timeline: 1, flushed: 5000}, 900, "", "another database"},
		{"the same one under another name", false, identity{Database: pg.Database{SystemID: "1", Name: "renamed"}, slot: true, timeline: 1, flushed: 5000}, 900, "", ""},
		{"a lost record", true, identity{Database: pg.Database{SystemID: "1", Name: "app"}, timeline: 1, flushed: 5000}, 900, "record", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rec := rec
			if tt.first {
				rec = record{}
			}
			begins, err := rec.judgeHistory(tt.first, tt.id, tt.tail)
			if (begins == "") != (tt.begins == "") || !strings.Contains(begins, tt.begins) {
				t.Errorf("begins %q, want %q", begins, tt.begins)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("error %v, want %q", err, tt.err)
			}
			if err != nil {
				return
			}
			joined := rec.joinHistory(tt.id, "slot", begins)
			if (joined.History == "h") != (begins == "") || joined.Begins != (begins != "") || joined.Timeline != tt.id.timeline {
				t.Errorf("record %+v", joined)
			}
			if joined.Acked > tt.id.flushed || tt.id.branched != 0 && joined.Acked > tt.id.branched {
				t.Errorf("the record speaks of WAL that this server does not have: %+v", joined)
			}
		})
	}
	t.Run("a slot made behind what a server took over with is a gap", func(t *testing.T) {
		joined := rec.joinHistory(identity{Database: pg.Database{SystemID: "1", Name: "app"}, timeline: 2, flushed: 1300, branched: 1050}, "slot", "")
		if gap(joined, slots.Info{ConfirmedFlush: 1100}, false) == "" {
			t.Error("what committed between 1050 and 1100 is lost silently")
		}
		if gap(joined, slots.Info{ConfirmedFlush: 1050}, false) != "" {
			t.Error("a slot that came along is taken for another one")
		}
		if gap(joined, slots.Info{ConfirmedFlush: 1050}, true) == "" {
			t.Error("a slot that was just made is taken for the one before")
		}
	})
}

func TestWhatTheFirstMessageStandsBehind(t *testing.T) {
	for _, tt := range []struct {
		name                   string
		rec                    record
		tail, slot, wantsAfter change.LSN
	}{
		{"nothing, in a new history", record{Begins: true, Last: 5}, 0, 700, 0},
		{"the last message", record{Last: 500}, 500, 400, 500},
		{"one that the record does not know of yet", record{Last: 400}, 500, 300, 500},
		{"what is left of the end, as the slot sends the rest again", record{Last: 500}, 300, 250, 300},
		{"all that was lost, as the slot is past it", record{Last: 500}, 300, 700, 500},
		{"what was lost before the slot", record{Last: 500}, 300, 400, 399},
		{"nothing that is there, in an empty log", record{Last: 500}, 0, 700, 500},
		{"nothing, in a log without a message so far", record{}, 0, 700, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.rec.before(tt.tail, tt.slot); got != tt.wantsAfter {
				t.Errorf("%d, want %d", got, tt.wantsAfter)
			}
		})
	}
}

// Another process may stream while this one finds out whether it may: between its looks the change log grows, with what the
// server has written since.
func TestAStandbyThatJudgesWhileAnotherProcessStreams(t *testing.T) {
	b := newBench(t, "")
	b.exec("CREATE TABLE t (id int PRIMARY KEY)")
	b.publish("t")
	b.start().stop()
	history := func() string {
		st, err := b.js.Stream(t.Context(), b.source.ChangeStream())
		if err != nil {
			t.Fatal(err)
		}
		return topology.HistoryOf(st.CachedInfo().Config).ID
	}
	was := history()
	free, identified, goOn := make(chan struct{}), make(chan struct{}), make(chan struct{})
	second := b.launch(func(c *Config) {
		gates := map[failpoint.Point]chan struct{}{failpoint.SlotFree: free, failpoint.Identified: identified}
		c.Failpoint = func(p failpoint.Point) {
			if gate := gates[p]; gate != nil {
				delete(gates, p)
				close(gate)
				<-goOn
			}
		}
	})
	<-free
	// It writes its record at the start, and then not for a while: the other finds no trace of it there.
	first := b.start(func(c *Config) { c.SyncInterval = time.Minute })
	goOn <- struct{}{}
	<-identified
	b.exec("INSERT INTO t VALUES (1)")
	before := b.upToBarrier()
	goOn <- struct{}{}
	eventually(t, "the second stands by, or streams", func() bool {
		state := second.Status().State
		return state == StateStandby || state == StateStreaming
	})
	first.stop()
	b.exec("INSERT INTO t VALUES (2)")
	if got := story(b.upToBarrier()); len(got) != len(story(before))+3 {
		t.Errorf("the change log has %q behind %q", got, story(before))
	}
	if now := history(); now != was {
		t.Errorf("the change log tells history %s, it told %s: it has been made again", now, was)
	}
}
