package demo

import (
	"context"
	"time"

	"github.com/shapebus/shapebus/pkg/control"
)

// handOver is what came of a consumer that went.
type handOver struct {
	partitions int           // that it had
	took       time.Duration // until the other one had all
}

// handOver has one of the two consumers go, while the traffic goes on: its shapes are the other one's then.
func (d *demo) handOver(ctx context.Context) error {
	d.screen.phase("a consumer goes", "")
	var owned map[string]int
	owners := func(ok func() bool) func() (bool, error) {
		return func() (bool, error) {
			status, err := d.meter.client.Status(ctx)
			if err != nil {
				return false, nil //nolint:nilerr // who answers may be the one that goes
			}
			owned = ownedBy(status)
			return ok(), nil
		}
	}
	if err := until(ctx, partPatience, "two consumers share the partitions", owners(func() bool { return len(owned) == 2 && owned[""] == 0 })); err != nil {
		return err
	}
	before := owned
	began := time.Now()
	if err := d.parts.second.stop(ctx); err != nil {
		return err
	}
	if err := until(ctx, partPatience, "one consumer has all partitions", owners(func() bool { return len(owned) == 1 && owned[""] == 0 })); err != nil {
		return err
	}
	d.moved.took = time.Since(began)
	for name, n := range before {
		if owned[name] == 0 {
			d.moved.partitions = n
		}
	}
	return nil
}

// ownedBy counts the partitions of each consumer, by its name; "" has those that nobody has.
func ownedBy(status control.Status) map[string]int {
	owned := map[string]int{}
	for _, o := range status.Owners {
		owned[o.Consumer]++
	}
	return owned
}
