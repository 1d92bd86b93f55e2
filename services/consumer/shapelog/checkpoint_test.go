package shapelog

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/natsembed"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

const patience = 60 * time.Second

// checkpointBench is one partition on a server of its own.
type checkpointBench struct {
	tb     testing.TB
	server *natsembed.Server
	js     jetstream.JetStream
	source topology.Source
}

func newCheckpointBench(tb testing.TB, maxPayload int) *checkpointBench {
	tb.Helper()
	if testing.Short() {
		tb.Skip("needs JetStream; not in -short")
	}
	server, err := natsembed.Start(natsembed.Options{Dir: tb.TempDir(), MaxPayload: maxPayload})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(server.Stop)
	b := &checkpointBench{tb: tb, server: server, source: "main"}
	nc, err := server.Connect()
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	if b.js, err = jetstream.New(nc); err != nil {
		tb.Fatal(err)
	}
	if err := b.source.EnsureShapeLogs(b.ctx(), b.js, 1, topology.ShapeLogConfig{}); err != nil {
		tb.Fatal(err)
	}
	return b
}

func (b *checkpointBench) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	b.tb.Cleanup(cancel)
	return ctx
}

// written is a partition with its writer.
type written struct {
	*Partition

	w *Writer
}

// partition opens the partition as its next owner does.
func (b *checkpointBench) partition() written {
	b.tb.Helper()
	p := NewPartition(&Config{NATS: b.js.Conn(), JS: b.js, Source: b.source, WindowBytes: 1 << 20, Failpoint: failpoint.Never}, 0)
	w, err := p.Open(b.ctx())
	if err != nil {
		b.tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = p.PurgeCheckpoints(ctx, slog.New(slog.DiscardHandler)) // nil
	}()
	b.tb.Cleanup(func() { cancel(); <-done; w.Close() })
	return written{p, w}
}

func (b *checkpointBench) write(p written, c wire.Checkpoint) {
	b.tb.Helper()
	err := p.Checkpoint(b.ctx(), p.w, c, nil)
	if err == nil {
		err = p.w.Flush(b.ctx())
	}
	if err != nil {
		b.tb.Fatal(err)
	}
}

func (b *checkpointBench) wantRead(what string, want wire.Checkpoint) {
	b.tb.Helper()
	got, ok, err := registry.ReadCheckpoint(b.ctx(), b.js, b.source, 0, "")
	if err != nil || !ok || !reflect.DeepEqual(got, want) {
		b.tb.Fatalf("%s: read back: %v, %v, LSN %d with %d places", what, ok, err, got.LSN, len(got.Parked))
	}
}

// messages is how many messages the partition's checkpoints are.
func (b *checkpointBench) messages() uint64 {
	b.tb.Helper()
	st, err := b.js.Stream(b.ctx(), b.source.ShapeStream(0))
	if err != nil {
		b.tb.Fatal(err)
	}
	info, err := st.Info(b.ctx(), jetstream.WithSubjectFilter(b.source.CheckpointSubject(0)))
	if err != nil {
		b.tb.Fatal(err)
	}
	return info.State.Subjects[b.source.CheckpointSubject(0)]
}

// parkedCheckpoint names n parked shapes at two places.
func parkedCheckpoint(lsn uint64, n int) wire.Checkpoint {
	c := wire.Checkpoint{LSN: lsn, Seq: lsn, FloorLSN: 4, FloorSeq: 4, At: 1}
	for i := range 2 {
		at := wire.ParkedAt{LSN: uint64(i) + 1}
		for range n / 2 {
			at.Handles = append(at.Handles, fmt.Sprintf("%016x-hol%07d", rand.Uint64(), rand.IntN(1e7)))
		}
		slices.Sort(at.Handles)
		c.Parked = append(c.Parked, at)
	}
	return c
}

// TestCheckpointsOfAnySizeAreReadBack writes checkpoints of many sizes one behind the other.
func TestCheckpointsOfAnySizeAreReadBack(t *testing.T) {
	b := newCheckpointBench(t, 0)
	p := b.partition()
	for i, n := range []int{2, 37_000, 100_000, 200_000, 100_000, 2, 100_000, 37_000} {
		c := parkedCheckpoint(uint64(i)+1, n)
		b.write(p, c)
		b.wantRead(fmt.Sprintf("%d parked shapes", n), c)
		data, err := wire.EncodeCheckpoint(c)
		if err != nil {
			t.Fatal(err)
		}
		parts := uint64(p.w.out.Parts(len(data)))
		t.Logf("%d parked shapes: %d bytes in %d messages", n, len(data), parts)
		for deadline := time.Now().Add(patience); b.messages() != parts; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d messages stay, want %d: those before are not removed", b.messages(), parts)
			}
		}
	}
}

// TestHalfACheckpointDoesNotCount lets a writer die in the middle of a checkpoint in parts.
func TestHalfACheckpointDoesNotCount(t *testing.T) {
	const maxPayload = 8 << 10 // as small as a few hundred shapes need
	for _, tt := range []struct {
		name                string
		before, half, after int
	}{
		{"behind a small one", 2, 5000, 5000},
		{"behind a large one", 3000, 5000, 2},
		{"behind a large one, and the next is large too", 3000, 5000, 3000},
		{"before there is any", 0, 5000, 5000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newCheckpointBench(t, maxPayload)
			first := parkedCheckpoint(1, tt.before)
			p := b.partition()
			if tt.before > 0 {
				b.write(p, first)
			}
			data, err := wire.EncodeCheckpoint(parkedCheckpoint(2, tt.half))
			if err != nil {
				t.Fatal(err)
			}
			parts := p.w.out.Parts(len(data))
			size := (len(data) + parts - 1) / parts
			for i := range parts - 1 {
				err := p.w.out.Append(b.ctx(), stream.Message{
					Subject: b.source.CheckpointSubject(0), Header: stream.Header(topology.HeaderPart, fmt.Sprintf("%d/%d", i, parts)),
					Data: data[i*size : (i+1)*size],
				}, nil)
				if err == nil {
					err = p.w.out.Flush(b.ctx())
				}
				if err != nil {
					t.Fatal(err)
				}
				if i != 0 && i != 1 && i != parts-2 {
					continue
				}
				if tt.before > 0 {
					b.wantRead(fmt.Sprintf("%d of %d parts of the next", i+1, parts), first)
				} else if _, ok, err := registry.ReadCheckpoint(b.ctx(), b.js, b.source, 0, ""); ok || err != nil {
					t.Fatalf("a checkpoint is read where none is whole: %v", err)
				}
			}
			p.w.Close()

			p = b.partition() // its successor
			after := parkedCheckpoint(3, tt.after)
			b.write(p, after)
			b.wantRead("its successor's", after)
		})
	}
}

// TestCheckpointsAreReadWhileTheyAreReplaced reads all the time: every answer is a whole one, and
// none is older than the one before.
func TestCheckpointsAreReadWhileTheyAreReplaced(t *testing.T) {
	b := newCheckpointBench(t, 8<<10)
	p := b.partition()
	b.write(p, parkedCheckpoint(1, 2000))
	const last = 200
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 2 {
		readers.Go(func() {
			was := uint64(0)
			for {
				c, ok, err := registry.ReadCheckpoint(b.ctx(), b.js, b.source, 0, "")
				if err != nil || !ok || c.LSN < was {
					t.Errorf("read %d after %d: %v, %v", c.LSN, was, ok, err)
					return
				}
				was = c.LSN
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	for lsn := uint64(2); lsn <= last; lsn++ {
		n := 2000
		if lsn%10 == 0 {
			n = 2
		}
		b.write(p, parkedCheckpoint(lsn, n))
	}
	close(stop)
	readers.Wait()
}
