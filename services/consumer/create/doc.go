// Package create makes shapes without subqueries, and takes those that are behind to the main loop.
//
// A shape that is being created is parked: it waits (parked.go) and then belongs to a batch (batch.go)
// of shapes of its table, with a goroutine that takes them all to the main loop: a snapshot and its
// proof, the rows (snapshot.go), and then the change log from where the snapshot may miss something
// (catchup.go). A shape with many rows does not hold up its batch: those before it go on, those
// behind it go into another one.
//
// While a shape waits for a batch it belongs to the main loop, in a batch to the batch's goroutine.
package create
