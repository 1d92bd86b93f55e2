package pg

import (
	"context"
	"fmt"
	"time"
)

// slotLook is the time between looks at a slot that somebody still reads.
const slotLook = 100 * time.Millisecond

// DropFreedSlot drops a slot whose reader has just gone, which its walsender may not have noticed yet: it waits for that until ctx
// ends. That there is no slot is fine.
func DropFreedSlot(ctx context.Context, url, slot string) error {
	cfg, err := ParseConfig(url, "drop slot")
	if err != nil {
		return err
	}
	conn, err := Connect(ctx, cfg)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) // the slot is gone or not
	tick := time.NewTicker(slotLook)
	defer tick.Stop()
	for {
		info, err := LookupSlot(ctx, conn, slot)
		if err != nil || !info.Exists {
			return err
		}
		if !info.Active {
			return DropSlot(ctx, conn, slot)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("process %d still reads replication slot %s: %w", info.ActivePID, slot, ctx.Err())
		case <-tick.C:
		}
	}
}
