// Package valueset holds the values that a subquery selects: a multiset, since
// several rows may select the same value and it stays a member until the last
// of them is gone.
//
// A value is one column's or a tuple of several, kept as a key: its components
// in canonical text, so that equal values have equal keys (what is canonical,
// package predicate knows). Counts change by deltas, which commute: any set of transactions
// can be summed in any order.
//
// The package does no I/O and knows nothing of positions in logs.
package valueset
