package materializer_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
)

func TestEachMarkerGetsAVerdict(t *testing.T) {
	l := newLab(t, 2)
	g := l.inner("inner", 1)
	g.begin(2, "1 x", "2 y", "3 x")
	ids, names, both := g.outer("o1", false, 0), g.outer("o2", false, 1), g.outer("o3", false, 1, 0)
	p := l.run("one", nil)
	p.live(3)

	g.at(10).op("+4 x", "-2").commit().send()
	g.at(20).op("=1 z").commit().send()
	g.at(30).op("+5 -").send() // goes on in another message
	g.op("+6 q", "-6", "+6 q", "-6").send()
	g.commit().at(40).op("!", "+1 x").commit().send()
	g.at(50).commit().send()
	l.wantVerdicts(1, ids, "10_4: 2 -1, 4 1", "20_2:", "30_10: 5 1", "40_4: 3 -1, 4 -1, 5 -1", "50_0:")
	l.wantVerdicts(1, names, "10_4: x 1, y -1", "20_2: x -1, z 1", "30_10: NULL 1", "40_4: NULL -1, x -1, z -1", "50_0:")
	l.wantVerdicts(1, both, "10_4: x/4 1, y/2 -1", "20_2: x/1 -1, z/1 1", "30_10: NULL/5 1", "40_4: NULL/5 -1, x/1 1, x/3 -1, x/4 -1, z/1 -1", "50_0:")

	b, values, _ := l.base(1, names)
	if !b.Offset().IsZero() || fmt.Sprint(values) != "map[x:2 y:1]" {
		t.Errorf("the first base is %v at %s", values, b.Offset())
	}
	l.wantValues(1, names, map[string]int64{"x": 1})
	if v := l.verdicts(1, ids)[0]; v.XID != 1010 || v.Unit {
		t.Errorf("%+v", v)
	}
}

func TestASetCanBeUsedBeforeAndAfterItsLogBegins(t *testing.T) {
	l := newLab(t, 1)
	g := l.inner("inner", 0)
	set := g.outer("o", false, 0)
	p := l.run("one", nil)
	l.until("the set waits", func() bool { return p.Status().Parked == 1 })
	g.begin(2, "1 x")
	l.wantValues(0, set, map[string]int64{"1": 1})
	g.at(10).op("+2 x").commit().send()
	l.wantVerdicts(0, set, "10_2: 2 1")
}

// A standalone shape is adopted whatever its log is like: long, and inside a transaction.
func TestALogIsAdoptedInsideATransaction(t *testing.T) {
	l := newLab(t, 1)
	g := l.inner("inner", 0)
	other := l.inner("other", 0)
	other.begin(1, "7 x")
	watched := other.outer("o", false, 0)
	p := l.run("one", nil)
	p.live(1)
	g.begin(1, "1 x", "2 y")
	g.at(10).op("+3 x").commit().send()
	g.at(20).op("+4 x").send()
	set := g.outer("o2", false, 0)
	l.wantVerdicts(0, set, "10_2: 3 1")
	g.op("-1").commit().send()
	other.at(30).op("+8 x").commit().send()
	l.wantVerdicts(0, set, "10_2: 3 1", "20_4: 1 -1, 4 1")
	l.wantVerdicts(0, watched, "30_2: 8 1")
}

func TestUnitsCountTogetherAndAbortsNotAtAll(t *testing.T) {
	l := newLab(t, 1)
	g := l.inner("inner", 0)
	g.begin(2, "1 x", "2 y")
	set := g.outer("o", true, 1)
	p := l.run("one", nil)
	p.live(1)
	g.at(10).commit().send() // as an outer shape's log begins
	g.b.Unit = true
	g.at(20).op("u1 z", "d2").send()
	g.at(25).op("u9 q").send()
	p.kill() // within a unit that will be aborted
	p = l.run("two", nil)
	p.live(1)
	g.b.Abort()
	g.at(20).op("u1 z", "d7").send()
	g.at(22).op("u3 x", "u3 y").commit().send()
	l.wantVerdicts(0, set, "10_0:", "22_4: x -1, y 1, z 1")
	if v := l.verdicts(0, set); v[0].Unit || !v[1].Unit {
		t.Errorf("units: %t, %t", v[0].Unit, v[1].Unit)
	}
	g.at(30).op("d1", "d2", "d3").commit().send()
	l.wantValues(0, set, map[string]int64{})
}

func TestAnEndedSetIsForgottenAndRemovedLater(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(l *lab, g *log){
		"the inner shape ends":               func(_ *lab, g *log) { g.at(20).op("+3 x").send(); g.end("the table was dropped") },
		"the shape that depends on it ends":  func(l *lab, _ *log) { l.set("o", control.StateEnded) },
		"its record goes":                    func(l *lab, _ *log) { l.set("o", "") },
		"it is about to be deleted":          func(l *lab, _ *log) { l.set("o", control.StateDeleting) },
		"the inner shape's next life begins": func(_ *lab, g *log) { g.end("it was deleted") },
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, 1)
			g := l.inner("inner", 0)
			g.begin(1, "1 x")
			set := g.outer("o", false, 1)
			stays := l.inner("stays", 0)
			stays.begin(1, "1 x")
			kept := stays.outer("o2", false, 0)
			l.cfg.Retention = 50 * time.Millisecond
			p := l.run("one", nil)
			p.live(2)
			g.at(10).op("+2 x").commit().send()
			l.wantVerdicts(0, set, "10_2: x 1")
			end(l, g)
			p.live(1)
			l.until("everything about the set is removed", func() bool { return len(l.subjects(0, set)) == 0 })
			if len(l.subjects(0, kept)) == 0 {
				t.Error("another set is gone too")
			}
			stays.at(30).op("+2 x").commit().send()
			l.wantVerdicts(0, kept, "30_2: 2 1")
		})
	}
}

func TestASetThatIsWantedAgainGoesOn(t *testing.T) {
	l := newLab(t, 1)
	g := l.inner("inner", 0)
	g.begin(1, "1 x")
	set := g.outer("o", false, 1)
	p := l.run("one", nil)
	p.live(1)
	g.at(10).op("+2 x").commit().send()
	l.wantVerdicts(0, set, "10_2: x 1")
	want := []string{"10_2: x 1"}
	for i := range 20 { // wanted and not, as fast as can be, while its log grows
		l.set("o", "")
		g.at(change.LSN(20 + i)).op(fmt.Sprintf("+%d y", 20+i)).commit().send()
		g.outer("o", false, 1)
		want = append(want, fmt.Sprintf("%d_2: y 1", 20+i))
	}
	g.at(50).op("-1").commit().send()
	l.wantVerdicts(0, set, append(want, "50_2: x -1")...)
}

func TestMuchInOneTransaction(t *testing.T) {
	l := newLab(t, 1)
	g := l.inner("inner", 0)
	g.begin(1)
	set := g.outer("o", false, 0)
	names := g.outer("o2", false, 1)
	p := l.run("one", nil)
	p.live(2)
	g.at(10)
	const messages, each = 1200, 150
	begun := l.appender(0).Stored()
	for m := range messages {
		for i := range each {
			g.op(fmt.Sprintf("+%d x", m*each+i))
		}
		g.send()
	}
	l.until("all of it is delivered", func() bool { _, delivered := l.durable(0); return delivered == l.appender(0).Stored() })
	if acked, _ := l.durable(0); acked > begun {
		t.Errorf("acknowledged up to %d, inside of the transaction behind %d", acked, begun)
	}
	g.commit().send()
	l.until("the verdict is there", func() bool { return len(l.verdicts(0, set)) == 1 && len(l.verdicts(0, names)) == 1 })
	v := l.verdicts(0, set)[0]
	if v.Deltas.Len() != messages*each {
		t.Errorf("%d deltas", v.Deltas.Len())
	}
	for key, n := range v.Deltas.All() {
		if n != 1 {
			t.Fatalf("%q by %d", key, n)
		}
	}
	l.wantVerdicts(0, names, fmt.Sprintf("10_%d: x %d", 2*messages*each, messages*each))
	st, err := l.js.Stream(t.Context(), source.VerdictStream(0))
	l.ok(err)
	m, err := st.GetLastMsgForSubject(t.Context(), source.VerdictSubject(0, set))
	l.ok(err)
	if m.Header.Get("Sb-Part") == "" {
		t.Error("the verdict is not in parts: is the test large enough?")
	}
	t.Run("and it is where a successor goes on", func(t *testing.T) {
		p.kill()
		l.run("two", nil).live(2)
		g.at(20).op("-3").commit().send()
		l.until("the next verdict is there", func() bool { return len(l.verdicts(0, set)) > 1 })
		if v := l.verdicts(0, set); len(v) != 2 || text(v[1]) != "20_2: 3 -1" {
			t.Errorf("%d verdicts, the last %s", len(v), text(v[1]))
		}
	})
}

// subjects lists what is stored about a set.
func (l *lab) subjects(partition int, set string) map[string]uint64 {
	l.t.Helper()
	st, err := l.js.Stream(l.t.Context(), source.VerdictStream(partition))
	l.ok(err)
	return l.info(st, source.SetSubjects(partition, set))
}
