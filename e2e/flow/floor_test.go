package flow

import (
	"fmt"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/internal/registry"
	"github.com/shapebus/shapebus/pkg/change"
	"github.com/shapebus/shapebus/pkg/client"
)

// A start reads the change log again from the lowest floor of its checkpoints. The floor follows soon, so that a consumer
// which dies every few seconds does not have more to read again each time, until it never comes to its next checkpoint.
func TestTheFloorFollowsSoon(t *testing.T) {
	s := stack.New(t, tasks)
	s.Consumer.Checkpoint, s.Consumer.Partitions, s.Consumer.SyncInterval = 50*time.Millisecond, 1, 2*time.Minute
	const soon, rounds = 4 * time.Second, 3
	s.StartIngest()
	stop := s.StartConsumer()
	s.Verify(s.Create(client.Definition{Table: "tasks"}))
	stop()
	best := time.Hour
	for round := range rounds {
		began := time.Now()
		stop := s.StartConsumer()
		var want change.LSN
		for i := range 20 {
			var text string
			if err := s.DB.QueryRow(t.Context(), "SELECT pg_current_wal_lsn()").Scan(&text); err != nil {
				t.Fatal(err)
			}
			var err error
			if want, err = change.ParseLSN(text); err != nil {
				t.Fatal(err)
			}
			s.Exec("INSERT INTO tasks VALUES ($1)", 10_000+100*round+i)
		}
		var floor change.LSN
		s.Until("the floor is behind all but the last transaction", func() (bool, error) {
			cp, _, err := registry.ReadCheckpoint(t.Context(), s.JS, s.Source, 0, "")
			floor = change.LSN(cp.FloorLSN)
			return floor >= want, err
		}, func() string { return fmt.Sprintf("it is at %s, want %s", floor, want) })
		best = min(best, time.Since(began))
		stop()
	}
	if best > soon {
		t.Errorf("it took %s and more, want %s", best, soon)
	}
}
