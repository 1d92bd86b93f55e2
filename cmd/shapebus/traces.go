package main

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/shapebus/shapebus/internal/telemetry"
	"github.com/shapebus/shapebus/internal/tracing"
	"github.com/shapebus/shapebus/pkg/topology"
)

// Variables of OpenTelemetry that decide whether, and how, traces are sent. Its SDK reads the others.
const (
	otelDisabled       = "OTEL_SDK_DISABLED"
	otelExporter       = "OTEL_TRACES_EXPORTER"
	otelEndpoint       = "OTEL_EXPORTER_OTLP_ENDPOINT"
	otelTracesEndpoint = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	otelProtocol       = "OTEL_EXPORTER_OTLP_PROTOCOL"
	otelTracesProtocol = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
	otelQueue          = "OTEL_BSP_MAX_QUEUE_SIZE"
)

// otlpProtocol is the only one that is spoken.
const otlpProtocol = "http/protobuf"

// tracesOn reports whether the environment asks for traces. An error says what cannot be had.
func tracesOn(getenv func(string) string) (bool, error) {
	if strings.EqualFold(strings.TrimSpace(getenv(otelDisabled)), "true") {
		return false, nil
	}
	endpoint := getenv(otelEndpoint) != "" || getenv(otelTracesEndpoint) != ""
	switch exporter := getenv(otelExporter); exporter {
	case "none":
		return false, nil
	case "otlp":
	case "":
		if !endpoint {
			return false, nil
		}
	default:
		return false, &usageError{text: fmt.Sprintf("%s is %q; traces are sent by otlp or not at all (none)", otelExporter, exporter)}
	}
	for _, name := range []string{otelTracesProtocol, otelProtocol} {
		if p := getenv(name); p != "" {
			if p != otlpProtocol {
				return false, &usageError{text: fmt.Sprintf("%s is %q; traces are sent by %s, to a collector's port for that (4318 as a rule)", name, p, otlpProtocol)}
			}
			break
		}
	}
	return true, nil
}

// openTraces begins to send traces if the environment asks for them; else it returns nil.
func openTraces(ctx context.Context, getenv func(string) string, role string, log *slog.Logger) (*telemetry.Traces, error) {
	on, err := tracesOn(getenv)
	if !on || err != nil {
		return nil, err
	}
	queue := 0
	if text := getenv(otelQueue); text != "" {
		if queue, err = strconv.Atoi(text); err != nil || queue < 1 {
			return nil, &usageError{text: fmt.Sprintf("%s is %q; want a number of spans", otelQueue, text)}
		}
	}
	return telemetry.OpenTraces(ctx, telemetry.TracesConfig{Service: "shapebus-" + role, Version: versionText(), Queue: queue, Log: log})
}

// tracer is nil where no traces are sent.
func tracer(t *telemetry.Traces, source topology.Source) *tracing.Tracer {
	if t == nil {
		return nil
	}
	return tracing.New(t.Provider(), source)
}

// tracesStop is how long a service that ends may take to send what it has of traces.
const tracesStop = 2 * time.Second

// closeTraces sends what is held.
func closeTraces(ctx context.Context, t *telemetry.Traces) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), tracesStop)
	defer cancel()
	t.Close(ctx)
}
