package flow

import (
	"fmt"
	"testing"
	"time"

	"github.com/shapebus/shapebus/e2e/stack"
	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
	"github.com/shapebus/shapebus/pkg/pgtemp/pgtest"
)

// How long ago something was read, appended and acknowledged is known of each service, and so is how far a consumer is behind.
func TestFreshnessIsMeasured(t *testing.T) {
	t.Parallel()
	s := stack.New(t, tasks)
	in, con := s.StartIngestService(), s.StartConsumerService()
	sh := s.Create(client.Definition{Table: "tasks"})
	before := time.Now()
	s.Exec("INSERT INTO tasks VALUES (4711)")
	s.Settle(sh)
	s.Until("all of it has happened since", func() (bool, error) {
		i, c := in.Status(), con.Status()
		for _, at := range []time.Time{i.Heard, i.PublishedAt, i.AckedAt, c.HeardAt, c.WroteAt, c.StoredAt} {
			if at.Before(before) {
				return false, nil
			}
		}
		return i.SlotWAL == "reserved" && i.SlotRetained >= 0, nil
	}, func() string { return fmt.Sprintf("%+v\n%+v", in.Status(), con.Status()) })
	if c := con.Status(); c.LagBytes != 0 || c.Lag != 0 {
		t.Errorf("it has read everything and is %d bytes and %s behind", c.LagBytes, c.Lag)
	}
	status, err := s.Client.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if status.ChangeAt.Before(before) || status.SlotWALStatus != "reserved" || status.SlotLost != "" {
		t.Errorf("the status says %+v", status)
	}
}

// A slot that is lost says so; that nothing is kept for it is not good news.
func TestALostSlotIsSaid(t *testing.T) {
	t.Parallel()
	server := pgtest.Own(t, map[string]string{"max_slot_wal_keep_size": "1MB", "max_wal_size": "32MB", "min_wal_size": "32MB"})
	s := stack.On(t, server.URL("postgres"), tasks)
	stop := s.StartIngest()
	s.StartConsumer()
	s.Create(client.Definition{Table: "tasks"})
	stop()
	var status control.Status
	s.Until("the slot is lost", func() (_ bool, err error) {
		s.Exec("SELECT pg_logical_emit_message(false, 'x', repeat('x', 8000000))")
		s.Exec("SELECT pg_switch_wal()")
		s.Exec("CHECKPOINT")
		status, err = s.Client.Status(t.Context())
		return err == nil && status.SlotWALStatus == "lost", err
	}, func() string { return fmt.Sprintf("%+v", status) })
	if status.SlotLost == "" || status.SlotSafeBytes != 0 {
		t.Errorf("the status says %+v", status)
	}
}
