// Package access says how the rows that match a clause can be found without asking the clause about each: by which keys
// of which columns. A Path is what a clause tells an index; a Key turns the cells of a row into the keys by which the
// index looks.
//
// The package knows neither clauses nor indexes. Which clause has which path is in predicate (its access_ files), and
// services/consumer/filter follows them.
package access
