// Package filter finds the shapes that a change of a row may concern, at a cost that follows the number of shapes found and not
// of those that exist.
//
// An Index holds the shapes of one table. Each is added with the access.Path of its clause, which says how its rows can
// be looked up, and the index chooses one way:
//
//   - by keys: a hash over the values of one column, or of several together (space.go);
//   - by ranges: a balanced tree of intervals for each column (ranges.go);
//   - by membership: a Set holds the values that a subquery selects, and every shape that is attached to it is found by any of
//     them (set.go);
//   - by being asked: what has no other way is offered every change.
//
// Which way is best depends on what is there (plan.go): of `archived = false AND user_id = 7` the first few shapes may be found by
// either column, the thousandth is found by the one that tells it from the others.
//
// What is found is a superset of the shapes whose clause is true of the old or the new row; the caller asks the clause. The
// package does no I/O, keeps no row, and knows nothing of what a shape is. An Index belongs to one goroutine.
package filter
