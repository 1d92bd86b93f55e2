// Package preflight finds out whether a server, a role, a publication, a slot and tables are ready
// for Shapebus, and what a person has to mend while it runs. It changes nothing.
package preflight
