// Package value knows the values of the where language: how Postgres writes those of each type, when two of them are
// equal and which is the greater, how one becomes another type's, and what arithmetic makes of them. The results are
// those of Postgres to the last digit.
//
// A value comes as the text of a row's cell. What most clauses do, comparing a cell with a constant, works on that text
// by a Reading and an Operand, and allocates nothing; everything else works on a Datum. Constant is the text of a
// literal in its canonical form, and AppendOrdered the form in which values are keys of an index.
//
// The package knows no columns, no clauses and no SQL, and does no I/O. It assumes the text forms of a session with
// TimeZone=UTC, DateStyle=ISO, IntervalStyle=postgres and extra_float_digits >= 1.
package value
