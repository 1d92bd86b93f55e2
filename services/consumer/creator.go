package consumer

import "slices"

// creator creates shapes, on behalf of a main loop that owns what is here.
type creator struct {
	*mainLoop

	waiting []*parked // shapes that wait for a batch, the longest first
	workers int       // batches being created
	looking bool      // somebody will look whether what waits needs another worker
}

// newCreator makes a creator.
func newCreator(l *mainLoop) *creator { return &creator{mainLoop: l} }

// lost takes out the shapes of a partition that cannot be written, and counts them. Runs on the main loop.
func (s *creator) lost(partition int, why error) (shapes int) {
	s.waiting = slices.DeleteFunc(s.waiting, func(k *parked) bool { return k.partition == partition })
	for id, o := range s.elsewhere {
		if k, ok := o.(*parked); ok && k.partition == partition {
			k.cancel(why)
			s.unpark(id)
			shapes++
		}
	}
	return shapes
}

// creating are the shapes that are being created, or those of one table unless it is 0. Runs on the main loop.
func (s *creator) creating(only uint32) (all []*parked) {
	for _, o := range s.elsewhere {
		// Without a table its record cannot be used, and it ends for that.
		if p, ok := o.(*parked); ok && p.table != nil && (only == 0 || p.table.Relation.OID == only) {
			all = append(all, p)
		}
	}
	return all
}
