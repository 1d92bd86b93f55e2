package changelog

import (
	"context"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
)

// Log is the change log as one session finds it: nothing that a session knows of its
// sequences holds for another stream under the name.
type Log struct {
	js      jetstream.JetStream
	stream  jetstream.Stream
	epoch   stream.Epoch
	history topology.History
	aheads  stream.Aheads // of the cursors; other readers have their own
}

// NewLog takes a stream whose information has just been read.
func NewLog(js jetstream.JetStream, st jetstream.Stream) *Log {
	info := st.CachedInfo()
	return &Log{js: js, stream: st, epoch: stream.EpochOf(info), history: topology.HistoryOf(info.Config)}
}

// Open reads what follows on a place, from a sequence on.
func (l *Log) Open(ctx context.Context, at stream.Place, seq uint64) (*stream.Changes, error) {
	return l.open(ctx, at, seq, stream.ReadAhead)
}

// open is Open with a number of bytes that are sent in advance.
func (l *Log) open(ctx context.Context, at stream.Place, seq uint64, ahead int) (*stream.Changes, error) {
	return stream.OpenChanges(ctx, l.js, l.stream, l.epoch, at, seq, ahead)
}

// Seek finds where reading begins for those who have everything below lsn.
func (l *Log) Seek(ctx context.Context, lsn change.LSN, hint uint64) (uint64, error) {
	return stream.Seek(ctx, l.stream, lsn, hint)
}

// Feed sends all messages from a place on, until ctx ends. It fails when the change log has been
// replaced or has gone back.
func (l *Log) Feed(ctx context.Context, start Place, messages chan<- stream.Change) error {
	r, err := l.Open(ctx, stream.Place{LSN: max(start.LSN, 1) - 1}, start.Seq)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:contextcheck // it has to work after ctx has ended
	for {
		m, err := r.Next(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		select {
		case messages <- m:
		case <-ctx.Done():
			return nil
		}
	}
}
