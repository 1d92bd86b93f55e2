// Package tracing follows sampled transactions through the services, as spans of OpenTelemetry: from their commit in
// Postgres to the change log, to the logs of shapes, to those who read them. The context travels in the header
// topology.HeaderTrace of the messages that a transaction becomes.
//
// Ingest decides which transactions are sampled, once; everybody else adds spans to what has a context. A nil Tracer is
// tracing that is switched off: it costs nothing, and what others have sampled is passed on as it came.
//
// It knows OpenTelemetry's API only. What becomes of the spans, package telemetry decides.
package tracing
