// Package removal takes a source away: what it has left in Postgres and in NATS, in an order in which it can be stopped and
// done again. It knows nothing of running services and refuses while there are any: they would make again what is gone.
package removal
