// Package fold gives the logs of live shapes new beginnings, so that a log stays about as small as its shape.
//
// A fold reads the shape's rows in a snapshot into a segment, while the main loop goes on with the log as if nothing were.
// When the log has come to where it has all that the snapshot sees, it holds besides whatever the snapshot does not see,
// so the two together are the shape, and a generation says so: the rows, and from where on the log adds to them what.
// New readers begin with the newest generation. What stands before it is removed after a grace.
//
// A Folder looks at the live shapes from time to time (folder.go), decides (due.go), and lets a goroutine do it (run.go).
// It touches no follower, and nothing that it does needs to be made up for: who dies leaves rows to which nothing refers.
// While the change log is nearly full, folds wait: what they write is not needed as much as what is in there.
// A shape with subqueries goes through a unit for that, whose snapshot and marker the generation has (outer.go). What others
// need who select from a shape stays until they need it no more (needed.go).
package fold
