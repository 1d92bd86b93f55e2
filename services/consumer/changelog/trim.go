package changelog

import (
	"context"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// trimLeast is how many messages make a trim worth while in a log with plenty of room.
const trimLeast = 64

// Trimmer purges the change log below floors that are stored and on disk.
type Trimmer struct {
	log    *Log
	sync   time.Duration
	floors floors
}

// NewTrimmer makes a trimmer. JetStream has written to disk by sync what it acknowledged.
func (l *Log) NewTrimmer(sync time.Duration) *Trimmer { return &Trimmer{log: l, sync: sync} }

// Trim purges the change log below the highest floor that is on disk. low is the one stored last.
func (t *Trimmer) Trim(ctx context.Context, low Place) error {
	low = t.floors.add(time.Now(), low, t.sync)
	if low.LSN == 0 {
		return nil
	}
	floor, err := t.log.Seek(ctx, low.LSN, low.Seq) // the stored sequence may be that of another stream
	if err != nil {
		return err
	}
	info, err := t.log.stream.Info(ctx)
	if err != nil {
		return err
	}
	if floor > info.State.LastSeq || floor <= info.State.FirstSeq {
		return nil
	}
	// A log near its limit needs all the room it can get: it may be holding Postgres back.
	limit := info.Config.MaxBytes
	if floor < info.State.FirstSeq+trimLeast && (limit <= 0 || info.State.Bytes < uint64(limit)/2) {
		return nil
	}
	return t.log.stream.Purge(ctx, jetstream.WithPurgeSequence(floor))
}

// floors are stored floors that may not be on disk yet. Should the server lose
// them with its power, the change log must still reach down to the ones before.
type floors []storedFloor

type storedFloor struct {
	at    time.Time
	floor Place
}

// add notes a floor and returns the highest one that is older than sync. A
// floor below ones before it says that those are not true any more.
func (f *floors) add(now time.Time, floor Place, sync time.Duration) (safe Place) {
	*f = append(slices.DeleteFunc(*f, func(o storedFloor) bool { return o.floor.LSN > floor.LSN }), storedFloor{now, floor})
	for len(*f) > 0 && now.Sub((*f)[0].at) >= sync {
		safe = (*f)[0].floor
		*f = (*f)[1:]
	}
	return safe
}
