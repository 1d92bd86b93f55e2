// Package prepare makes the publication and the tables ready for shapes and gives tables back as
// they were: a table's place in the publication, its replica identity FULL, and what of that would
// harm the application's own writes.
//
// It never takes a lock for long: it gives way to the application and reports who was in the way.
// What the role may not do comes back as a *pg.NeedsError with the statement for the person who
// may.
package prepare
