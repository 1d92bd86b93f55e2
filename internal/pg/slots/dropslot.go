package slots

import (
	"context"
	"fmt"
	"time"

	"github.com/shapebus/shapebus/internal/pg"
)

// slotLook is the time between looks at a slot that somebody still reads.
const slotLook = 100 * time.Millisecond

// DropFreed drops a slot whose reader has just gone, which its walsender may not have noticed yet: it waits for that until ctx
// ends. That there is no slot is fine.
func DropFreed(ctx context.Context, url, slot string) error {
	cfg, err := pg.ParseConfig(url, "drop slot")
	if err != nil {
		return err
	}
	conn, err := pg.Connect(ctx, cfg)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) // the slot is gone or not
	tick := time.NewTicker(slotLook)
	defer tick.Stop()
	for {
		info, err := Lookup(ctx, conn, slot)
		if err != nil || !info.Exists {
			return err
		}
		if !info.Active {
			return Drop(ctx, conn, slot)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("process %d still reads replication slot %s: %w", info.ActivePID, slot, ctx.Err())
		case <-tick.C:
		}
	}
}
