// Package group takes shapes with subqueries through the changes of what their subqueries select.
//
// Such shapes leave the main loop whenever a value set that they depend on may change. Those of one
// table that stand at one place are a group (group.go): its goroutine reads the change log again from
// there (stage.go, read.go), waits for the verdicts on the sets, and where the membership of a value changes it
// opens a unit (unit.go): a snapshot, a barrier behind it, and the rows whose values changed, as
// package reconcile decides. Then it hands the shapes back to the main loop (join.go). A new shape
// with subqueries is a group of one, whose first unit reads all rows (create.go). Shapes that select from
// one another are one group of several stages (chain.go).
//
// Units hold a snapshot while they wait for others, so snapshots are kept for the less nested ones
// (package conns).
package group
