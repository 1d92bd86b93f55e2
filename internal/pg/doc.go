// Package pg is the ground of everything that Shapebus says to Postgres besides the replication
// session itself: connecting, the catalog, barriers, quoting, and the errors that say what a person
// has to do. On it stand its rooms: slots, snapshots (with their COPY), prepare (the publication
// and what it needs of a table) and preflight (the checks).
//
// Every session has fixed output settings, so that a value has the same text here and in the
// replication stream. Row-level security is set to fail rather than to filter: the stream is not
// filtered either, and a snapshot that silently lacks rows would never heal.
//
// It refuses, and so do its rooms, to evaluate predicates (package predicate prints the SQL that a
// snapshot takes), to keep connections or retry (callers decide), and to widen its own privileges:
// what the role may not do comes back as a [NeedsError] with the statement for the person who may.
//
// A function that takes a *pgx.Conn uses it alone while it runs. Cancelling its context may close
// that connection; unless said otherwise nothing is left behind in the database.
package pg
