package valuesets

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go"

	"github.com/shapebus/shapebus/internal/service"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// lagMost is how many messages a replica that answers direct gets may lag behind the stream.
const lagMost = 1 << 12

// ReadVerdicts reads the verdicts on a partition's inner shapes that are stored
// from now on, until ctx ends. It closes following when none will be missed any
// more; what was stored before is read with each set's base (load), and here
// what a replica that is asked there may not have yet. Another stream under the name
// ends it, and with it the session: what was read of the old stream says nothing of the new one.
func (s *Sets) ReadVerdicts(ctx context.Context, partition int, following chan<- struct{}) error {
	r, err := s.awaitVerdicts(ctx, partition)
	if err != nil {
		return err
	}
	defer r.Close() //nolint:contextcheck // it has to work after ctx has ended
	close(following)
	for {
		m, err := r.Next(ctx)
		if err != nil {
			return fmt.Errorf("read verdicts of partition %d: %w", partition, topology.Explain(err))
		}
		name, _ := topology.SetOfVerdict(m.Subject)
		v, after, err := decodeVerdict(m.Header, m.Data)
		if err != nil {
			if err := s.cfg.Poisoned(ctx, name, err); err != nil {
				return err
			}
			continue
		}
		if !s.verdict(name, v, after) {
			s.cfg.Log.WarnContext(ctx, "verdicts were trimmed before they were read; the set is loaded again", slog.String("set", name))
		}
	}
}

// awaitVerdicts opens the reader of a partition's verdicts, as often as it takes: while there
// is no stream, or none that can be read, the shapes wait that depend on it, and no others.
func (s *Sets) awaitVerdicts(ctx context.Context, partition int) (*stream.Reader, error) {
	for pause := (service.Backoff{}); ; {
		r, err := s.openVerdicts(ctx, partition)
		if err == nil {
			return r, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		err = topology.Explain(err)
		s.cfg.Log.WarnContext(ctx, "verdicts cannot be read; shapes that depend on them wait", slog.Int("partition", partition), slog.Any("error", err))
		s.cfg.Trouble.LastError.Store(err.Error())
		pause.Wait(ctx)
	}
}

func (s *Sets) openVerdicts(ctx context.Context, partition int) (*stream.Reader, error) {
	src := s.cfg.Source
	if err := src.EnsureVerdicts(ctx, s.cfg.JS, partition, s.cfg.Replicas); err != nil {
		return nil, err
	}
	st, err := s.cfg.JS.Stream(ctx, src.VerdictStream(partition))
	if err != nil {
		return nil, fmt.Errorf("look at stream %s: %w", src.VerdictStream(partition), err)
	}
	from := st.CachedInfo().State.LastSeq + 1
	return stream.OpenSubjectsReader(ctx, s.cfg.JS, src.VerdictStream(partition), src.VerdictSubject(partition, "*"), from-min(from, lagMost))
}

func decodeVerdict(h nats.Header, data []byte) (v *wire.Verdict, after change.Offset, err error) {
	if v, err = wire.DecodeVerdict(data); err != nil {
		return nil, after, err
	}
	if after, err = change.ParseOffset(h.Get(topology.HeaderVerdictAfter)); err != nil {
		return nil, after, fmt.Errorf("header %s: %w", topology.HeaderVerdictAfter, err)
	}
	return v, after, nil
}
