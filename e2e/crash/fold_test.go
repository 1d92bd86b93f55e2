package crash

import (
	"bytes"
	"fmt"
	"os"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/e2e/logcheck"
	"github.com/shapebus/shapebus/e2e/long"
	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// A fold has three durable steps, and a consumer may die before, between and after them. Its successor goes on with the
// logs, folds them, and leaves of what its predecessor began nothing behind; views go on meanwhile.
func TestConsumerDiesWhileItFoldsALog(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		point failpoint.Point
		most  int // times that it passes there
		long  bool
	}{
		{failpoint.FoldBegun, 3, true},
		{failpoint.FoldRow, 3, false},
		{failpoint.FoldCopied, 3, true},
		{failpoint.FoldStored, 3, false},
		{failpoint.FoldUntold, 3, true},
		{failpoint.FoldCut, 3, false},
		{failpoint.FoldPurged, 3, true},
	} {
		t.Run(c.point.String(), func(t *testing.T) {
			if c.long {
				long.Only(t)
			}
			t.Parallel()
			w := newWorld(t, options{})
			w.startIngest(nil)
			w.startConsumer(nil)
			w.exec(manyRows) // so that a segment is several messages
			for _, def := range []client.Definition{{Table: "items"}, {Table: "notes"}} {
				w.ask(def)
			}
			w.awaitLive()
			w.traffic.run()
			var views []*client.View
			for _, sh := range w.shapes {
				v := sh.View(client.ViewOptions{})
				defer v.Close()
				views = append(views, v)
			}
			w.traffic.some(30)
			w.consumer.Stop()
			flags := []string{"--fold-factor", "0.001", "--fold-least", "1", "--fold-interval", "50ms", "--fold-grace", "1ms", "--sync-interval", "100ms"}
			w.startConsumer(failpoint.At(c.point, 1+w.rng.IntN(c.most)), flags...)
			until(t, "the consumer is gone", func() (bool, error) { return w.consumer.Gone(), nil })
			w.consumer.DiesAt(c.point)
			w.traffic.some(30)

			w.startConsumer(nil, flags...)
			w.settle()
			for i := range w.shapes {
				from := w.await(i, "there", func(control.Shape) bool { return true }).Generation
				w.await(i, "folded", func(s control.Shape) bool { return s.Generation > from })
			}
			w.verify()
			for i, v := range views {
				rows := w.await(i, "there", func(control.Shape) bool { return true }).Rows
				until(t, fmt.Sprintf("view %d has all %d rows", i, rows), func() (bool, error) {
					return int64(v.Len()) == rows, fmt.Errorf("it has %d: %w", v.Len(), v.Err())
				})
				w.awaitOneSegment(i)
			}
		})
	}
}

// awaitOneSegment waits until of a shape's segments only the newest generation's is left.
func (w *world) awaitOneSegment(n int) {
	w.tb.Helper()
	info := w.shapes[n].Info()
	until(w.tb, fmt.Sprintf("shape %d has one segment", n), func() (bool, error) {
		st, err := w.nats.js.Stream(w.tb.Context(), w.source.ShapeStream(info.Partition))
		if err != nil {
			return false, err
		}
		i, err := st.Info(w.tb.Context(), jetstream.WithSubjectFilter(w.source.SegmentSubjects(info.Partition, info.Handle)))
		if err != nil {
			return false, err
		}
		return len(i.State.Subjects) == 1, fmt.Errorf("it has %v", i.State.Subjects)
	})
}

// manyRows are a megabyte of a shape.
const manyRows = "INSERT INTO items SELECT 1000000 + g, g % 7, repeat('many ', 100) || g, g % 3 = 0 FROM generate_series(0, 1999) g"

// A generation that JetStream has acknowledged and not yet synced goes with the power, and what stood before it in the stream may go with it. What it would
// have replaced is still there: readers go on, whoever begins does so with what was before, and the log is folded again.
func TestNATSLosesPowerBehindAFold(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(w *world){
		"the generation goes":               func(w *world) { w.loseGeneration(0) },
		"some of its rows and the log, too": func(w *world) { w.loseShapeLogs(func(size int64) int64 { return w.rng.Int64N(size * 2 / 5) }) }, // and nothing of the rows before
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, options{})
			w.startIngest(nil)
			w.startConsumer(nil, "--fold-factor", "0", "--fold-interval", "20ms", "--fold-grace", "0s", "--sync-interval", "1h")
			w.exec(manyRows)
			w.ask(client.Definition{Table: "items"})
			w.awaitLive()
			follows := w.follow(0)
			for round := range 3 {
				w.traffic.run()
				w.traffic.some(20)
				w.traffic.stop()
				w.settle()
				if _, err := w.client.Fold(t.Context(), w.shapes[0].Handle()); err != nil {
					t.Fatal(err)
				}
				folded := w.await(0, "folded", func(s control.Shape) bool { return s.Generation == 1 && s.Fold == nil })
				lose(w)
				until(t, "NATS tells of generations", func() (bool, error) {
					g, err := logcheck.Generation(t.Context(), w.nats.js, w.source, folded)
					if err == nil && g != nil {
						t.Fatalf("generation %d is still there", g.Number)
					}
					return err == nil, err
				})
				w.settle()
				if round == 2 {
					break
				}
				w.verify()
			}
			if _, err := w.client.Fold(t.Context(), w.shapes[0].Handle()); err != nil {
				t.Fatal(err)
			}
			w.await(0, "folded again", func(s control.Shape) bool { return s.Generation == 1 && s.Fold == nil })
			follows.judge(w, 0)
			w.verify()
		})
	}
}

// loseGeneration kills NATS and lets the partition of a shape lose the shape's newest generation and what came behind it.
func (w *world) loseGeneration(n int) {
	w.tb.Helper()
	w.nats.Proc.Kill()
	info := w.shapes[n].Info()
	name := w.source.ShapeStream(info.Partition)
	files := w.nats.blocks(name)
	data, err := os.ReadFile(files[len(files)-1])
	if err != nil {
		w.tb.Fatal(err)
	}
	at := bytes.LastIndex(data, []byte(w.source.GenerationSubject(info.Partition, info.Handle)))
	if at < 0 {
		w.tb.Fatalf("no generation is in %s", files[len(files)-1])
	}
	w.cut(name, int64(len(data)-at))
	w.nats.start()
}
