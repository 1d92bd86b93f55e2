package main

import (
	"context"
	"flag"
	"fmt"
	"strconv"
	"time"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/control"
	definitions "github.com/shapebus/shapebus/pkg/shape"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// valuesFlags returns the bench of the materializer's memory.
func valuesFlags(flags *flag.FlagSet) func(context.Context, *common) (*report, error) {
	n := flags.Int("values", 1_000_000, "distinct values that the subquery selects")
	return func(ctx context.Context, env *common) (*report, error) {
		if *n < 1 {
			return nil, fmt.Errorf("-values %d: want at least 1", *n)
		}
		return values(ctx, env, *n)
	}
}

// held is what a materializer needs for a set of values.
type held struct {
	idle, now, again float64 // MiB resident: without the set, with it, with it after a restart
	peak             float64
	built, restored  float64 // seconds
}

// values measures what the materializer's memory grows by for each value of a
// subquery: of keys, which deletes tell, and of another column, where it has to remember rows. The
// inner shape's log is written here, so that nothing but the materializer is measured.
func values(ctx context.Context, env *common, n int) (r *report, err error) {
	const perValue, base = 300, 1 << 30
	ctx, l, err := openLab(ctx, env, uint64(n)*perValue+base, false)
	defer func() { err = l.close(ctx, err) }()
	if err != nil {
		return nil, err
	}
	r = &report{title: fmt.Sprintf("Memory of a materializer that holds %d distinct bigint values", n)}
	if r.machine, err = l.machine(ctx); err != nil {
		return nil, err
	}
	keys, err := l.valuesOf(ctx, "v1", n, 0)
	if err != nil {
		return nil, err
	}
	others, err := l.valuesOf(ctx, "v2", n, 1)
	if err != nil {
		return nil, err
	}
	each := func(mib, idle float64) float64 { return (mib - idle) * (1 << 20) / float64(n) }
	r.table("", "", "SELECT id", "SELECT other")
	line := func(name, unit string, f func(held) float64) {
		r.row(name, number(f(keys))+" "+unit, number(f(others))+" "+unit)
	}
	line("resident, idle", "MiB", func(h held) float64 { return h.idle })
	line("resident, with the set", "MiB", func(h held) float64 { return h.now })
	line("resident, restarted", "MiB", func(h held) float64 { return h.again })
	line("peak", "MiB", func(h held) float64 { return h.peak })
	line("per value", "B", func(h held) float64 { return each(h.now, h.idle) })
	line("per value at the peak", "B", func(h held) float64 { return each(h.peak, h.idle) })
	line("built from the log", "s", func(h held) float64 { return h.built })
	line("built from its base", "s", func(h held) float64 { return h.restored })
	r.notes = []string{"Goal: at most 100 B per value for SELECT id.", ""}
	r.add("bytes_per_value", each(keys.now, keys.idle), "B")
	r.add("bytes_per_value_peak", each(keys.peak, keys.idle), "B")
	r.add("bytes_per_value_of_rows", each(others.now, others.idle), "B")
	r.add("value_set_restore_s", keys.restored, "s")
	return r, nil
}

// valuesOf measures the set of one column of an inner shape: 0 is its key.
func (l *lab) valuesOf(ctx context.Context, name string, n, column int) (h held, err error) {
	source := topology.Source(name)
	l.say("%d values of column %d", n, column)
	shapes, inner, err := l.writeInner(ctx, source, n)
	if err != nil {
		return h, err
	}
	p, err := l.materializer(ctx, source)
	if err != nil {
		return h, err
	}
	if h.idle, err = residentMemory(p.Pid()); err != nil {
		return h, err
	}
	outer := recordOf("the outer shape", "u", "id")
	outer.Subqueries = []registry.Subquery{{ID: inner.ID, Handle: inner.Handle, Partition: inner.Partition, Columns: []int{column}}}
	if err := shapes.Put(ctx, outer); err != nil {
		return h, err
	}
	if h.built, err = p.follows(ctx, n); err != nil {
		return h, err
	}
	if h.now, err = residentMemory(p.Pid()); err != nil {
		return h, err
	}
	if h.peak, err = peakMemory(p.Pid()); err != nil {
		return h, err
	}
	p.stop()
	if p, err = l.materializer(ctx, source); err != nil {
		return h, err
	}
	defer p.stop()
	if h.restored, err = p.follows(ctx, n); err != nil {
		return h, err
	}
	h.again, err = residentMemory(p.Pid())
	return h, err
}

// recordOf is the record of a live shape, as the control plane would store it.
func recordOf(clause, table string, columns ...string) *registry.Shape {
	def := definitions.Definition{Schema: "public", Table: table, Columns: columns}
	id := def.ID(clause)
	return &registry.Shape{ID: id, Handle: definitions.NewHandle(id, time.Now()), State: control.StateLive, Definition: def}
}

// writeInner writes the record and the log of a shape with n rows: their key and another column.
func (l *lab) writeInner(ctx context.Context, source topology.Source, n int) (*registry.Shapes, *registry.Shape, error) {
	if err := source.EnsureRegistry(ctx, l.js, 1); err != nil {
		return nil, nil, err
	}
	if err := source.EnsureShapeLogs(ctx, l.js, 1, topology.ShapeLogConfig{}); err != nil {
		return nil, nil, err
	}
	shapes, err := registry.OpenShapes(ctx, l.js, source)
	if err != nil {
		return nil, nil, err
	}
	if _, err := shapes.EnsureSource(ctx, registry.Source{Partitions: 1}); err != nil {
		return nil, nil, err
	}
	const bigint = 20
	inner := recordOf("the inner shape", "t", "id", "other")
	inner.Table = &pg.TableInfo{PrimaryKey: []string{"id"}, Relation: change.Relation{
		Schema: "public", Name: "t", Columns: []change.Column{{Name: "id", Type: bigint, TypeMod: -1}, {Name: "other", Type: bigint, TypeMod: -1}},
	}}
	if err := shapes.Put(ctx, inner); err != nil {
		return nil, nil, err
	}
	out, err := stream.OpenAppender(ctx, l.nc, source.ShapeStream(0), stream.AppenderConfig{})
	if err != nil {
		return nil, nil, err
	}
	defer out.Close()
	const messageBytes = 256 << 10
	segment, messages := wire.NewSegmentBuilder(), uint64(0)
	for i := range n {
		segment.Add(change.Row{strconv.AppendInt(nil, int64(i+1), 10), strconv.AppendInt(nil, int64(i+1_000_000), 10)})
		if segment.Len() < messageBytes && i < n-1 {
			continue
		}
		messages++
		if err := out.Append(ctx, stream.Message{Subject: source.SegmentSubject(0, inner.Handle, 1), Data: segment.Bytes()}, nil); err != nil {
			return nil, nil, err
		}
		segment.Reset()
	}
	b := wire.NewLogBuilder()
	b.Segment(1, messages, uint64(n), change.Snapshot{Xmin: 1, Xmax: 2})
	data := b.Finish()
	err = out.Append(ctx, stream.Message{
		Subject: source.LogSubject(0, inner.Handle), Data: data,
		Header: stream.Header(topology.HeaderTail, wire.Tail{Began: true, Rows: int64(n), CommittedRows: int64(n), Bytes: int64(len(data))}.String()),
	}, nil)
	if err == nil {
		err = out.Flush(ctx)
	}
	return shapes, inner, err
}

// materializer starts a materializer process and returns when it owns the one partition.
func (l *lab) materializer(ctx context.Context, source topology.Source) (*process, error) {
	return l.service(ctx, source, "shapebus_materializer_partitions", []string{"materializer"})
}

// follows waits until the process holds a set of n values, and says how long that took.
func (p *process) follows(ctx context.Context, n int) (seconds float64, err error) {
	began := time.Now()
	err = poll(ctx, pollEvery/10, p.Name+" follows the set", func() (bool, error) {
		held, err := p.metric(ctx, "shapebus_materializer_values")
		return err == nil && held == float64(n), nil
	})
	return time.Since(began).Seconds(), err
}
