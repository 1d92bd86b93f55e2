// Package reconcile decides what a shape whose clause has subqueries writes
// while the value sets of those subqueries change: what becomes of a transaction (Stage), which snapshot
// a unit may use (Usable), which rows are in question (Set), what an op or a row that was
// read back becomes (Member), and what shapes that select from one another do first (Apart, FirstDeferred).
// It does no I/O; its caller reads the change log and the snapshot and appends what it is told.
//
// # A unit
//
// Membership changes only in units. A unit is opened by a transaction T
// whose verdict changes the membership of some value:
//
//  1. A snapshot Q is opened that sees T and everything the shape has applied
//     (Usable), and a barrier written after it; the barrier's place is H.
//  2. From T to H, what Q sees is applied in order, the rest deferred
//     (Stage.Begin). Each transaction's verdicts go into the running sets
//     (Set.Add) before its ops are offered (Member.Op).
//  3. The rows whose values are in question (Member.Changed) are read in Q
//     and offered (Member.Reread). Then the unit's commit marker is written,
//     and the running sets are the shape's sets.
//  4. What was deferred is processed in order, as if it came behind H
//     (Stage.Locate); each may open the next unit, which goes on with what is still deferred.
//
// # Why it is exact
//
// Within a unit the log holds a row only if the row's last version, as
// far as the unit has come, matches under the frozen sets. For a row whose values
// are not in question frozen and running sets say the same, so it is where it
// belongs; every other row is reread from Q. Writes of one row are visible in the
// order they were committed (the second waits for the first one's lock), so
// applying visible transactions before those deferred keeps the order of each
// row, and counts can be summed in any order.
//
// A row that the running sets keep out is never written, not even inside the
// unit: its readers may have lost the right to see it.
package reconcile
