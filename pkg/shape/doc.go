// Package shape says what a shape is: its definition, the canonical form by
// which two definitions are the same shape, and the handle of one incarnation of it.
//
// It neither checks a definition against a database (packages pg and
// predicate do) nor stores anything (package registry does).
package shape
