// Package shapelog knows the log of one shape: how it is read back.
//
// Where a log stands is told by its last message (Tails); how it began, by its first one
// (ReadSnapshot); why it ended, by its last word (LastWord). The log of a shape with
// subqueries may stand behind its partition's checkpoint, which then names the place (Parked).
package shapelog
