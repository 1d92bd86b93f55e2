package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/shapebus/shapebus/internal/pg"
	"github.com/shapebus/shapebus/internal/pg/slots"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/topology"
)

// record is what ingest remembers of a source, to notice a gap. It is written
// by whoever has the slot; a process that lost the slot fails on the revision.
type record struct {
	// The database that feeds the source. Others read it, see registry.Feeder.
	pg.Database

	Timeline int32  `json:"timeline"` // of the cluster
	Slot     string `json:"slot"`
	// History is which history of the database the change log tells, and Reason
	// why it is not the one before. A stream that tells another one has to go.
	History string `json:"history"`
	Reason  string `json:"reason,omitempty"`
	// Begins says that the history has no change log yet.
	Begins bool `json:"begins,omitempty"`
	// Acked is an LSN below which everything is stored. Nothing above it has
	// been confirmed to Postgres by us.
	Acked change.LSN `json:"acked"`
	// Last is the LSN of the last message in the change log, no lower than that of
	// any message below Acked. The log itself may lose its end, and readers must be
	// told what was there.
	Last change.LSN `json:"last"`
}

// before is the LSN that the first message of a session stands behind: all that
// committed at or below it has stood in the log. tail is the LSN of the last message
// that is there now. What the log has lost since comes again, unless it is below where the slot
// begins.
func (r record) before(tail, slot change.LSN) change.LSN {
	if r.Begins {
		return 0
	}
	if tail >= r.Last || slot <= tail || slot == 0 {
		return tail
	}
	return min(r.Last, slot-1)
}

// recordStore keeps the record. Not safe for concurrent use.
type recordStore struct {
	kv       jetstream.KeyValue
	rec      record
	revision uint64 // 0 = there is none yet
}

func loadRecord(ctx context.Context, kv jetstream.KeyValue) (*recordStore, error) {
	s := &recordStore{kv: kv}
	e, err := kv.Get(ctx, topology.IngestKey)
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read ingest's record: %w", err)
	}
	if err := json.Unmarshal(e.Value(), &s.rec); err != nil {
		return nil, fmt.Errorf("ingest's record cannot be read: %w; with `nats kv del %s %s` ingest begins again, and all shapes end", err, kv.Bucket(), topology.IngestKey)
	}
	s.revision = e.Revision()
	return s, nil
}

// save replaces the record. It fails if another process did so since.
func (s *recordStore) save(ctx context.Context, rec record) error {
	body, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("write ingest's record: %w", err)
	}
	var revision uint64
	if s.revision == 0 {
		revision, err = s.kv.Create(ctx, topology.IngestKey, body)
	} else {
		revision, err = s.kv.Update(ctx, topology.IngestKey, body, s.revision)
	}
	if err != nil {
		return fmt.Errorf("write ingest's record: %w", err)
	}
	s.rec, s.revision = rec, revision
	return nil
}

// gap says why the change log cannot simply go on from the slot, in words for
// the readers of the shapes that end because of it; "" if it can. created says
// that the slot has just been made.
func gap(rec record, slot slots.Info, created bool) string {
	if !rec.Begins && (created || slot.ConfirmedFlush > rec.Acked) {
		return fmt.Sprintf("the replication slot was created anew or moved: changes between %s and %s are not in the change log", rec.Acked, slot.ConfirmedFlush)
	}
	return ""
}
