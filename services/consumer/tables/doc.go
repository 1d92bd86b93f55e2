// Package tables prepares tables for shapes, and gives them back as they were.
//
// A table must be in the publication and send whole old rows before a shape can follow it. The
// Preparer makes sure of both and stores first what the table was. The Keeper gives a table back on
// which no shape has been for a while, and it looks for harm: a prepared table can begin to
// make writes of the application fail, and then the table goes back at once, if need be with its
// shapes.
//
// The package knows no shape: which tables are in use, and how the shapes of one end, it is told by
// two functions.
package tables
