// Package shapelog knows the log of one shape: how it is written and how it is read back.
//
// A Log says where a shape's log stands and gathers entries for it: ops, commit markers, the first
// entry, which refers to the rows of a snapshot, and the last word. A Partition is the stream that
// holds the logs of many shapes, their segments and its checkpoint. Only one process writes it, with
// a Writer, and a log belongs to the Writer with which its end was read: with another one it would
// write at a place that it does not know.
//
// Where a log stands is told by its last message (Tails); how it began, by its first one
// (ReadSnapshot); why it ended, by its last word (LastWord). The log of a shape with
// subqueries may stand behind its partition's checkpoint, which then names the place (Parked).
//
// The package decides nothing: what becomes of a change in a log is for package follow to say.
package shapelog
