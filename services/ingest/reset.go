package ingest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/pkg/topology"
)

// Reset is what has to go so that a source begins again with whatever database ingest finds next. It takes these steps:
//
//  1. what the bucket of relations says of the tables of another database is removed. A crash after it: the source stays as
//     it was, and the reset is done again.
//  2. the record of a history that has no change log yet, and of no database. A crash after it: the next session of ingest
//     finds a stream of another history and does 3 itself.
//  3. the change log is deleted. The next session makes it; consumers find the new history and end the shapes of the old one.
//
// A session of ingest that runs ends behind 2, since the record is not its own any more, and the next one begins again.
type Reset struct {
	Fed   pg.Database           // the database that fed the source; zero if none has
	Log   *jetstream.StreamInfo // of the change log; nil if there is none
	Known int                   // what is known of tables of another database, and goes; 0 if it is the same

	js      jetstream.JetStream
	source  topology.Source
	bucket  jetstream.KeyValue
	foreign []jetstream.KeyValueEntry // Known of them
}

// ErrNotSetUp says that there is no such source.
var ErrNotSetUp = errors.New("the source is not set up: there is nothing of it in this NATS account")

// LookAtReset finds out what a reset would remove. with is the database with which the source is to go on.
func LookAtReset(ctx context.Context, js jetstream.JetStream, source topology.Source, with pg.Database) (*Reset, error) {
	kv, err := js.KeyValue(ctx, source.RelationBucket())
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, fmt.Errorf("source %s: %w", source, ErrNotSetUp)
	}
	if err != nil {
		return nil, fmt.Errorf("open bucket %s: %w", source.RelationBucket(), topology.Explain(err))
	}
	record, err := loadRecord(ctx, kv)
	if err != nil {
		return nil, err
	}
	r := &Reset{Fed: record.rec.Database, js: js, source: source, bucket: kv}
	if r.Log, err = r.changeLog(ctx); err != nil {
		return nil, err
	}
	if r.Fed.Admit(with) != nil {
		if r.foreign, err = r.ofTables(ctx); err != nil {
			return nil, err
		}
		r.Known = len(r.foreign)
	}
	return r, nil
}

// changeLog looks at the stream.
func (r *Reset) changeLog(ctx context.Context) (*jetstream.StreamInfo, error) {
	st, err := r.js.Stream(ctx, r.source.ChangeStream())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, topology.Explain(fmt.Errorf("look at stream %s: %w", r.source.ChangeStream(), err))
	}
	return st.CachedInfo(), nil
}

// ofTables are the entries of the bucket that name tables by their oids, which mean others in another database.
func (r *Reset) ofTables(ctx context.Context) ([]jetstream.KeyValueEntry, error) {
	w, err := r.bucket.WatchFiltered(ctx, []string{topology.OIDKeys, topology.PreparedKeys}, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, fmt.Errorf("list what is known of tables: %w", err)
	}
	defer w.Stop() //nolint:errcheck // it ends with the connection
	var all []jetstream.KeyValueEntry
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case e := <-w.Updates():
			if e == nil {
				return all, nil
			}
			all = append(all, e)
		}
	}
}

// Do resets the source. The shapes of the source end with reason.
func (r *Reset) Do(ctx context.Context, reason string) error {
	for _, e := range r.foreign {
		if err := r.bucket.Purge(ctx, e.Key(), jetstream.LastRevision(e.Revision())); err != nil {
			return fmt.Errorf("remove key %s: %w; nothing else was changed, do it again", e.Key(), err)
		}
	}
	next := record{History: rand.Text(), Reason: strings.TrimSpace(reason), Begins: true}
	body, err := json.Marshal(next)
	if err == nil {
		_, err = r.bucket.Put(ctx, topology.IngestKey, body) // whatever ingest has written meanwhile
	}
	if err != nil {
		return fmt.Errorf("write ingest's record: %w; do it again", topology.Explain(err))
	}
	now, err := r.changeLog(ctx)
	if err != nil || now == nil || topology.HistoryOf(now.Config).ID == next.History { // ingest has been faster
		return err
	}
	if err := r.js.DeleteStream(ctx, r.source.ChangeStream()); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("delete stream %s: %w; the next start of ingest does it", r.source.ChangeStream(), err)
	}
	return nil
}
