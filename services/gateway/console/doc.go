// Package console serves pages on which people look at a source: how changes flow, which shapes
// there are, the rows of one as they change, why a row is in a shape or is not, and what happened.
//
// It is a client as any other. What it shows it asks the control plane for, and reads from the logs
// of shapes with pkg/client; it keeps nothing but the last minutes in memory, and any number of
// processes may serve it.
//
// Who may see what is decided by the secret that was given: one of them opens everything, the other
// one no rows, and nothing that changes something. Sessions are signed and not stored. Whatever
// comes from tables and clauses is sent as JSON and shown as text, and the pages load nothing from
// elsewhere.
package console
