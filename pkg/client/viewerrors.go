package client

import "errors"

// What views and groups answer, to test for with errors.Is.
var (
	// ErrNotReady says that a view has not read its first snapshot yet.
	ErrNotReady = errors.New("the view has not read its snapshot yet")
	// ErrNoRow says that a view has no row with that key.
	ErrNoRow = errors.New("no such row")
	// ErrClosed says that a view was closed.
	ErrClosed = errors.New("the view is closed")
)
