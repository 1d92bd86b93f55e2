package materializer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/failpoint"
	"github.com/shapebus/shapebus/internal/stream"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/pkg/wire"
)

// errIncomplete says that a base lacks some of what its announcement speaks of.
var errIncomplete = errors.New("the base is not complete")

// store is a partition's verdict stream. Its appender is the only writer there.
// Safe for concurrent use. It belongs to one life of the stream; see Watch.
type store struct {
	m      *Materializer
	js     jetstream.JetStream
	source topology.Source
	p      int
	st     jetstream.Stream
	epoch  stream.Epoch
	out    *stream.Appender
}

func (m *Materializer) openStore(ctx context.Context, js jetstream.JetStream, p int) (*store, error) {
	if err := m.cfg.Source.EnsureVerdicts(ctx, js, p, m.cfg.Replicas); err != nil {
		return nil, err
	}
	st, err := js.Stream(ctx, m.cfg.Source.VerdictStream(p))
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", m.cfg.Source.VerdictStream(p), topology.Explain(err))
	}
	epoch := stream.EpochOf(st.CachedInfo())
	out, err := stream.OpenAppender(ctx, m.cfg.NATS, m.cfg.Source.VerdictStream(p), stream.AppenderConfig{WindowBytes: m.cfg.WindowBytes, PurgeFence: true, APIPrefix: m.cfg.APIPrefix})
	if err != nil {
		return nil, topology.Explain(err)
	}
	return &store{m: m, js: js, source: m.cfg.Source, p: p, st: st, epoch: epoch, out: out}, nil
}

// Watch returns an error once the stream is another one, in which nothing is of
// what this store has written, and nil when ctx ends.
func (s *store) Watch(ctx context.Context) error {
	return stream.Watch(ctx, s.js, s.source.VerdictStream(s.p), s.epoch)
}

// Verdict appends a verdict behind the one before it, at prev.
func (s *store) Verdict(ctx context.Context, set string, prev change.Offset, v *wire.Verdict, stored func(uint64)) error {
	s.m.cfg.Failpoint(failpoint.BeforeVerdict)
	data := wire.EncodeVerdict(v)
	header := stream.Header(topology.HeaderVerdict, v.Offset.String())
	header.Set(topology.HeaderVerdictAfter, prev.String())
	err := s.out.Append(ctx, stream.Message{
		Subject: s.source.VerdictSubject(s.p, set),
		Header:  header,
		// A part that is not the last is not the verdict yet.
		PartHeader: stream.Header(topology.HeaderVerdict, prev.String()),
		Data:       data,
	}, stored)
	if err != nil {
		return fmt.Errorf("verdict %s on %s: %w", v.Offset, set, err)
	}
	s.m.stats.Verdicts.Add(1)
	s.m.stats.Wrote.Now()
	s.m.stats.Bytes.Add(int64(len(data)))
	s.m.cfg.Failpoint(failpoint.AfterVerdict)
	return nil
}

// Leap publishes a verdict at the place of a base that was made of a generation. It follows on none that was published,
// so whoever has only those before loads the base.
func (s *store) Leap(ctx context.Context, set string, at change.Offset) error {
	return s.Verdict(ctx, set, at, &wire.Verdict{Offset: at}, nil)
}

// LastVerdict is the offset of the last verdict on a set, zero without any.
func (s *store) LastVerdict(ctx context.Context, set string) (change.Offset, error) {
	m, err := stream.LastFromLeader(ctx, s.js, s.source.VerdictStream(s.p), s.source.VerdictSubject(s.p, set)) // a copy that lags would have it said twice
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return change.Offset{}, nil
	}
	if err != nil {
		return change.Offset{}, fmt.Errorf("read the last verdict on %s: %w", set, topology.Explain(err))
	}
	return verdictOffset(m.Header)
}

func verdictOffset(h nats.Header) (change.Offset, error) {
	at, err := change.ParseOffset(h.Get(topology.HeaderVerdict))
	if err != nil {
		return at, fmt.Errorf("header %s: %w", topology.HeaderVerdict, err)
	}
	return at, nil
}

// LastBase is the last announcement of a base of a set; ok is false without any.
func (s *store) LastBase(ctx context.Context, set string) (b wire.Base, ok bool, err error) {
	m, err := stream.LastFromLeader(ctx, s.js, s.source.VerdictStream(s.p), s.source.BaseSubject(s.p, set))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return b, false, nil
	}
	if err == nil {
		b, err = wire.DecodeBase(m.Data)
	}
	if err != nil {
		return b, false, fmt.Errorf("read the last base of %s: %w", set, topology.Explain(err))
	}
	return b, true, nil
}

// Load fills a replica with a base.
func (s *store) Load(ctx context.Context, set string, b wire.Base, r *replica) error {
	if r.keyed() {
		err := s.each(ctx, s.source.BaseRowsSubject(s.p, set, b.Number), b.RowMessages, func(data []byte) error {
			return wire.DecodeBaseRows(data, func(row, value []byte) {
				r.rows.Set(row, value)
				r.values.Add(value, 1)
			})
		})
		if err == nil && (uint64(r.rows.Len()) != b.Rows || uint64(r.values.Len()) != b.Values) {
			err = errIncomplete
		}
		if err != nil {
			return fmt.Errorf("base %d of %s: %w", b.Number, set, err)
		}
	} else {
		err := s.each(ctx, s.source.BaseValuesSubject(s.p, set, b.Number), b.Messages, func(data []byte) error {
			values, err := wire.DecodeBaseValues(data)
			for value, n := range values.All() {
				r.values.Add(value, n)
			}
			return err
		})
		if err == nil && uint64(r.values.Len()) != b.Values {
			err = errIncomplete
		}
		if err != nil {
			return fmt.Errorf("base %d of %s: %w", b.Number, set, err)
		}
	}
	r.began, r.done = true, b.Offset()
	return nil
}

// each calls f with each of so many messages of a subject.
func (s *store) each(ctx context.Context, subject string, messages uint64, f func(data []byte) error) error {
	r := stream.NewSubjectReader(s.js, s.source.VerdictStream(s.p), subject, 1)
	for range messages {
		m, ok, err := r.Next(ctx)
		switch {
		case err != nil:
			return err
		case !ok:
			return errIncomplete
		}
		if err := f(m.Data); err != nil {
			return err
		}
	}
	return nil
}

// WriteBase writes a base of what a replica holds, which must not be inside a
// transaction. It returns once JetStream has all of it.
func (s *store) WriteBase(ctx context.Context, set string, r *replica) (wire.Base, error) {
	s.m.cfg.Failpoint(failpoint.BeforeBase)
	b := wire.Base{
		// Larger than that of every base before, and of every one that was not finished:
		// what those wrote stands in the stream.
		Number: s.out.Stored() + 1,
		LSN:    uint64(r.done.LSN), Op: r.done.Op, At: time.Now().UnixMicro(),
	}
	if err := s.writeRows(ctx, set, r, &b); err != nil {
		return b, err
	}
	if err := s.writeValues(ctx, set, r, &b); err != nil {
		return b, err
	}
	s.m.cfg.Failpoint(failpoint.AfterBaseValues)
	data, err := wire.EncodeBase(b)
	if err != nil {
		return b, err
	}
	stored := make(chan struct{})
	if err := s.append(ctx, s.source.BaseSubject(s.p, set), data, func(uint64) { close(stored) }); err != nil {
		return b, err
	}
	select {
	case <-stored:
	case <-s.out.Done():
		return b, s.out.Err()
	case <-ctx.Done():
		return b, context.Cause(ctx)
	}
	s.m.stats.Bases.Add(1)
	s.m.cfg.Failpoint(failpoint.AfterBase)
	return b, nil
}

func (s *store) append(ctx context.Context, subject string, data []byte, stored func(uint64)) error {
	if err := s.out.Append(ctx, stream.Message{Subject: subject, Data: data}, stored); err != nil {
		return fmt.Errorf("base: %w", err)
	}
	s.m.stats.Bytes.Add(int64(len(data)))
	return nil
}

func (s *store) writeValues(ctx context.Context, set string, r *replica, b *wire.Base) (err error) {
	subject := s.source.BaseValuesSubject(s.p, set, b.Number)
	var page wire.Deltas
	flush := func() error {
		b.Messages++
		err := s.append(ctx, subject, wire.EncodeBaseValues(page), nil)
		page = page.Reset()
		return err
	}
	r.values.All(func(value []byte, n int64) bool {
		page = page.Append(value, n)
		b.Values++
		if page.Bytes() >= s.m.cfg.BaseBytes {
			err = flush()
		}
		return err == nil
	})
	if err == nil && page.Len() > 0 {
		err = flush()
	}
	return err
}

func (s *store) writeRows(ctx context.Context, set string, r *replica, b *wire.Base) (err error) {
	subject := s.source.BaseRowsSubject(s.p, set, b.Number)
	var page []wire.BaseRow
	size := 0
	flush := func() error {
		b.RowMessages++
		err := s.append(ctx, subject, wire.EncodeBaseRows(page), nil)
		page, size = page[:0], 0
		return err
	}
	r.rows.All(func(row, value []byte) bool {
		page = append(page, wire.BaseRow{Row: string(row), Value: string(value)})
		b.Rows++
		if size += len(row) + len(value) + rowWeight; size >= s.m.cfg.BaseBytes {
			err = flush()
		}
		return err == nil
	})
	if err == nil && len(page) > 0 {
		err = flush()
	}
	return err
}

// Clear removes the bases of a set before one, and what was written of those
// that were not finished. Who calls it without knowing that somebody else has written a newer
// base removes nothing of that.
func (s *store) Clear(ctx context.Context, set string, keep wire.Base) error {
	info, err := s.st.Info(ctx, jetstream.WithSubjectFilter(s.source.SetSubjects(s.p, set)))
	if err != nil {
		return fmt.Errorf("clear old bases of %s: %w", set, err)
	}
	announcements := s.source.BaseSubject(s.p, set)
	for subject, messages := range info.State.Subjects {
		var err error
		if n, ok := topology.BaseNumber(subject); subject == announcements && messages > 1 {
			err = stream.PurgeToLast(ctx, s.st, subject)
		} else if ok && n < keep.Number {
			err = stream.Purge(ctx, s.st, subject, 0)
		}
		if err != nil {
			return fmt.Errorf("clear old bases of %s: %w", set, err)
		}
	}
	return nil
}

// Trim removes the verdicts on a set up to an offset that are below an LSN.
func (s *store) Trim(ctx context.Context, set string, upTo change.Offset, below change.LSN) error {
	subject := s.source.VerdictSubject(s.p, set)
	first, err := stream.SeekSubject(ctx, s.st, subject, func(h nats.Header) (bool, error) {
		at, err := verdictOffset(h)
		return upTo.Before(at) || at.LSN >= below, err
	})
	if err != nil || first <= 1 {
		return err
	}
	if err := stream.Purge(ctx, s.st, subject, first); err != nil {
		return fmt.Errorf("trim the verdicts on %s: %w", set, err)
	}
	return nil
}

// Drop removes everything about a set, but for what somebody else may have
// written since this process lost its right to.
func (s *store) Drop(ctx context.Context, set string) error {
	err := s.st.Purge(ctx, jetstream.WithPurgeSubject(s.source.SetSubjects(s.p, set)), jetstream.WithPurgeSequence(s.out.Stored()+1))
	if err != nil {
		return fmt.Errorf("remove value set %s: %w", set, err)
	}
	return nil
}

// Stored returns those sets, of which something is stored, that are asked for; and since when nothing was added.
func (s *store) Stored(ctx context.Context, ask func(set string) bool) (map[string]time.Time, error) {
	info, err := s.st.Info(ctx, jetstream.WithSubjectFilter(s.source.VerdictSubjects(s.p)))
	if err != nil {
		return nil, fmt.Errorf("list value sets: %w", topology.Explain(err))
	}
	sets := map[string]time.Time{}
	for subject := range info.State.Subjects {
		set := topology.SetOfSubject(subject)
		if set == "" || !ask(set) {
			continue
		}
		m, err := s.st.GetLastMsgForSubject(ctx, subject)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", subject, topology.Explain(err))
		}
		if m.Time.After(sets[set]) {
			sets[set] = m.Time
		}
	}
	return sets, nil
}
