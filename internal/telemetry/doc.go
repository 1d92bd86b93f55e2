// Package telemetry is what a process tells its operator: a log (slog), metrics (Prometheus) and health over HTTP.
//
// It knows nothing of the services. The command line gives it the figures to show and the question "are you ready?".
// It refuses to own a global logger or registry: whoever builds one passes it on.
package telemetry
