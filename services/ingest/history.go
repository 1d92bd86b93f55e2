package ingest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
	"github.com/shapebus/shapebus/services/ingest/tail"
)

// LSNs mean something within one history of a database only. The record says
// which one the change log tells, and so does the log's stream, from which
// consumers know it. A new history takes these steps:
//
//  1. the record with the new id. A crash after it: the next session finds a
//     stream of another history and goes on with 2.
//  2. the old stream is deleted and another one made, with the new id. A crash
//     in between: the next session makes it.
//  3. the slot is made, if there is none. It comes last everywhere: whatever
//     fails before leaves nothing that keeps WAL.
//  4. the record says where the log begins.

// judgeHistory finds out whether a server goes on with the history that the
// record speaks of. begins says why another one begins, "" if none does. first
// says that there is no record; tail is the LSN of the last message in the change log.
func (r record) judgeHistory(first bool, id identity, tail change.LSN) (begins string, err error) {
	stored, feeds := max(r.Last, tail), r.Database
	if id.slot { // the database was renamed
		feeds.Name = ""
	}
	if err := feeds.Admit(id.Database); err != nil {
		return "", fmt.Errorf("%w. Positions in the WAL and tables mean something else in it, so shapes cannot continue. "+
			"shapebus source reset --yes has the source begin again with this database, and shapes are fetched again; or use another source name for it", err)
	}
	switch {
	case first:
		return "the record of what was read from the database is not there or was lost", nil
	case stored > id.flushed:
		return fmt.Sprintf("the database went back to an earlier point of its history, as a restore or a failover makes it: the change log reaches to %s, but the WAL of this server only to %s", stored, id.flushed), nil
	case id.branched != 0 && stored > id.branched:
		return fmt.Sprintf("the database went back to an earlier point of its history, as a restore or a failover makes it: the change log reaches to %s, but this server left timeline %d at %s", stored, r.Timeline, id.branched), nil
	}
	return "", nil
}

// joinHistory is the record of a server that goes on with the record's history,
// or begins another one. What the record says of WAL that this server does not have means nothing here.
func (r record) joinHistory(id identity, slot, begins string) record {
	r.Database, r.Timeline, r.Slot = id.Database, id.timeline, slot
	if begins != "" {
		return record{Database: r.Database, Timeline: r.Timeline, Slot: r.Slot, History: rand.Text(), Reason: begins, Begins: true}
	}
	r.Acked = min(r.Acked, id.flushed)
	if id.branched != 0 {
		r.Acked = min(r.Acked, id.branched)
	}
	if r.History == "" { // an older version wrote the record and made the stream
		r.History, r.Last = rand.Text(), max(r.Last, r.Acked)
	}
	return r
}

// foundLog is the change log as a session finds it.
type foundLog struct {
	stream jetstream.Stream // nil if there is none
	last   change.LSN       // of its last message
}

// findLog looks at the change log. It comes before the server is asked how far its WAL goes: another process may
// stream meanwhile, and what the log has then the server had before.
func (s *session) findLog(ctx context.Context, js jetstream.JetStream) (f foundLog, err error) {
	source, name := s.g.cfg.Source, s.g.cfg.Source.ChangeStream()
	f.stream, err = js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return foundLog{}, nil
	}
	if err != nil {
		return f, topology.Explain(fmt.Errorf("look for stream %s: %w", name, err))
	}
	t, err := tail.Read(ctx, f.stream, source, f.stream.CachedInfo().State.LastSeq)
	if err != nil {
		return f, err
	}
	f.last = t.LSN
	return f, nil
}

// openLog makes the change log of the history that the server tells, given the one that was found before, and
// returns it.
func (s *session) openLog(ctx context.Context, js jetstream.JetStream, found foundLog, id identity) (jetstream.Stream, error) {
	source, name := s.g.cfg.Source, s.g.cfg.Source.ChangeStream()
	begins, err := s.record.rec.judgeHistory(s.record.revision == 0, id, found.last)
	if err != nil {
		return nil, fatal(fmt.Errorf("source %s: %w", source, err))
	}
	rec := s.record.rec.joinHistory(id, s.g.cfg.Slot, begins)
	if rec != s.record.rec {
		if err := s.record.save(ctx, rec); err != nil {
			return nil, err
		}
	}
	if found.stream != nil {
		told := topology.HistoryOf(found.stream.CachedInfo().Config).ID
		if told != rec.History && (told != "" || rec.Begins) {
			s.g.cfg.Log.ErrorContext(ctx, "the change log tells another history of the database and is made again; shapes are fetched again", slog.String("reason", rec.Reason))
			// Nobody has written the record since it was read, so the stream belongs to nobody who goes on with it.
			if err := s.record.save(ctx, rec); err != nil {
				return nil, err
			}
			if err := js.DeleteStream(ctx, name); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
				return nil, fmt.Errorf("delete stream %s of an earlier history: %w", name, err)
			}
		}
	}
	return source.EnsureChangeLog(ctx, js, topology.History{ID: rec.History, Reason: rec.Reason}, s.g.cfg.ChangeLog)
}
