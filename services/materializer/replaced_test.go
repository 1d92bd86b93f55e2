package materializer_test

import (
	"fmt"
	"testing"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
)

// remake deletes a stream and, if so wanted, makes it again.
func (l *lab) remake(name string, again bool) {
	l.t.Helper()
	st, err := l.js.Stream(l.t.Context(), name)
	l.ok(err)
	l.ok(l.js.DeleteStream(l.t.Context(), name))
	if again {
		// The server may still be removing the files of the one before.
		l.until("stream "+name+" is made again", func() bool {
			_, err = l.js.CreateStream(l.t.Context(), st.CachedInfo().Config)
			return err == nil
		})
	}
}

// remade waits until a stream is there that has something in it.
func (l *lab) remade(name string) {
	l.t.Helper()
	l.until("stream "+name+" has something in it", func() bool {
		st, err := l.js.Stream(l.t.Context(), name)
		return err == nil && st.CachedInfo().State.Msgs > 0
	})
}

// Nothing else makes the materializer write to the stream meanwhile: it has to notice by itself.
func TestVerdictsComeAgainOnAStreamThatWasRemade(t *testing.T) {
	t.Parallel()
	for name, again := range map[string]bool{"deleted": false, "deleted and made again": true} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, 1)
			g := l.inner("inner", 0)
			g.begin(1, "1 x", "2 y")
			set := g.outer("o", false, 1)
			p := l.run("one", nil)
			g.at(10).op("+3 z").commit().send()
			l.wantVerdicts(0, set, "10_2: z 1")
			p.live(1)
			l.remake(source.VerdictStream(0), again)
			l.remade(source.VerdictStream(0))
			l.wantValues(0, set, map[string]int64{"x": 1, "y": 1, "z": 1})
			g.at(20).op("-1").commit().send()
			l.wantValues(0, set, map[string]int64{"y": 1, "z": 1})
			if st := p.Status(); st.Inconsistent != 0 {
				t.Errorf("%+v", st)
			}
		})
	}
}

// The consumer ends the shapes whose logs are gone, and makes others.
func TestAMaterializerGoesOnWithAShapeStreamThatWasRemade(t *testing.T) {
	for name, logs := range map[string]int{"and is shorter": 1, "and is longer": 60} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, 1)
			g := l.inner("inner", 0)
			g.begin(1, "1 x", "2 y")
			g.outer("o", false, 1)
			p := l.run("one", nil)
			for i := range 10 {
				g.at(change.LSN(10 + 10*i)).op(fmt.Sprintf("+%d z", 10+i)).commit().send()
			}
			p.live(1)
			l.remake(source.ShapeStream(0), true)
			delete(l.writer, 0)
			next := l.inner("next", 0)
			next.begin(1, "1 a", "2 b")
			for i := range logs {
				next.at(change.LSN(1000 + 10*i)).op(fmt.Sprintf("+%d c", 10+i)).commit().send()
			}
			set := next.outer("p", false, 1)
			l.wantValues(0, set, map[string]int64{"a": 1, "b": 1, "c": int64(logs)})
			next.at(5000).op("-1").commit().send()
			l.wantValues(0, set, map[string]int64{"b": 1, "c": int64(logs)})
			l.until("it reads through its durable", func() bool {
				c, err := l.js.Consumer(t.Context(), source.ShapeStream(0), topology.MaterializerDurable)
				return err == nil && c.CachedInfo().NumPending == 0
			})
		})
	}
}
