package client

// Look is a look at all shapes of a group at one moment. It is valid in the function that it was
// given to.
type Look struct {
	group *Group
	// LSN is the moment, as Moment has it.
	LSN LSN
}

// Look calls f with all shapes at one moment, without a copy of their rows, and returns its error;
// or ErrNotReady before the first moment, or Err after the group's end. The group stands still meanwhile: f must be
// quick and must not call the group's methods.
func (g *Group) Look(f func(Look) error) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err := g.lookLocked(); err != nil {
		return err
	}
	return f(Look{group: g, LSN: g.at})
}

// Get returns the row of the shape of that index with these values in its key columns, as
// View.Get does.
func (l Look) Get(shape int, key ...any) (Row, error) {
	return l.group.members[shape].shown.table.get(key)
}

// Len is the number of rows of the shape of that index.
func (l Look) Len(shape int) int { return l.group.members[shape].shown.table.length }

// Rows are those of the shape of that index, in no order.
func (l Look) Rows(shape int) []Row { return l.group.members[shape].shown.table.all() }
