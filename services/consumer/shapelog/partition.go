package shapelog

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/health"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/internal/tracing"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// Config is what writing the logs of all partitions needs.
type Config struct {
	NATS         *nats.Conn
	JS           jetstream.JetStream
	APIPrefix    string // JS asks with
	Source       topology.Source
	WindowBytes  int                            // in flight per partition
	Stall        time.Duration                  // how long others wait for a stream that answers nothing
	SegmentBytes int                            // of a segment's messages
	Builders     *sync.Pool                     // see NewBuilders
	Messages     *atomic.Int64                  // shape log messages appended
	Bytes        *atomic.Int64                  // of them
	Wrote        *health.Clock                  // one was appended
	Stored       *health.Clock                  // one was acknowledged
	Grown        func(handle string, bytes int) // what was appended to a log, or a segment; nil: nobody wants to know
	Failpoint    func(failpoint.Point)
	Tracer       *tracing.Tracer // nil traces nothing
}

// NewBuilders makes the pool that logs take the memory from in which they gather entries.
func NewBuilders() *sync.Pool { return &sync.Pool{New: func() any { return wire.NewLogBuilder() }} }

// Partition is the stream of one partition, with the logs of its shapes. Safe for concurrent
// use; who writes has a writer.
type Partition struct {
	N         int
	cfg       *Config
	outdated  atomic.Uint64 // the first sequence of the last checkpoint in parts
	purgeable chan struct{} // there are checkpoints before that
}

// NewPartition prepares a partition.
func NewPartition(cfg *Config, n int) *Partition {
	return &Partition{N: n, cfg: cfg, purgeable: make(chan struct{}, 1)}
}

// Open begins to write the partition's stream. It sends nothing.
func (p *Partition) Open(ctx context.Context) (*Writer, error) {
	out, err := stream.OpenAppender(ctx, p.cfg.NATS, p.cfg.Source.ShapeStream(p.N), stream.AppenderConfig{WindowBytes: p.cfg.WindowBytes, Stall: p.cfg.Stall, PurgeFence: true, APIPrefix: p.cfg.APIPrefix})
	if err != nil {
		return nil, topology.Explain(err)
	}
	return &Writer{n: p.N, out: out, began: time.Now()}, nil
}

// NewLog is the log of a shape that stands at tail, for its writer.
func (p *Partition) NewLog(handle string, w *Writer, tail wire.Tail) Log {
	return Log{Handle: handle, Partition: p.N, Writer: w, Tail: tail, Appended: tail, builders: p.cfg.Builders}
}

// Append appends what a log has gathered, if anything.
func (p *Partition) Append(ctx context.Context, l *Log) error {
	if l.out == nil {
		return nil
	}
	data := l.Finish()
	if len(data) > 0 {
		l.Tail.Bytes += int64(len(data))
		trace := l.out.Trace()
		err := l.Writer.append(ctx, stream.Message{
			Subject:    p.cfg.Source.LogSubject(p.N, l.Handle),
			Header:     stream.Traced(tailHeader(l.Tail), trace),
			PartHeader: stream.Traced(tailHeader(l.Appended), trace),
			Data:       data,
		}, p.stored(trace, l.Handle)) //nolint:contextcheck // a trace comes with its header
		if err != nil {
			return fmt.Errorf("shape %s: %w", l.Handle, err)
		}
		l.Appended = l.Tail
		p.cfg.Wrote.Now()
		p.cfg.Messages.Add(1)
		p.cfg.Bytes.Add(int64(len(data)))
		p.grown(l.Handle, len(data))
		p.cfg.Failpoint(failpoint.AfterAppend)
	}
	l.Release()
	return nil
}

// stored is what is to be called when a message of a log is stored, whose trace has a context.
func (p *Partition) stored(trace, handle string) func(uint64) {
	if span := p.cfg.Tracer.Span(trace, "append", tracing.Producer, handle, time.Now()); span != nil {
		return func(uint64) { p.cfg.Stored.Now(); span.End(nil) }
	}
	return func(uint64) { p.cfg.Stored.Now() }
}

func tailHeader(t wire.Tail) nats.Header { return stream.Header(topology.HeaderTail, t.String()) }

// appendSegment appends rows of a shape's segment. stored, if not nil, is called when they are stored.
func (p *Partition) appendSegment(ctx context.Context, w *Writer, handle string, segment uint64, rows []byte, stored func(seq uint64)) error {
	p.grown(handle, len(rows))
	return w.append(ctx, stream.Message{Subject: p.cfg.Source.SegmentSubject(p.N, handle, segment), Data: rows}, stored)
}

func (p *Partition) grown(handle string, bytes int) {
	if p.cfg.Grown != nil {
		p.cfg.Grown(handle, bytes)
	}
}
