package main

import (
	"strings"
	"testing"
)

func TestTracesAreOffUnlessTheEnvironmentAsksForThem(t *testing.T) {
	for _, c := range []struct {
		env  map[string]string
		on   bool
		fail string
	}{
		{env: nil},
		{env: map[string]string{"OTEL_SERVICE_NAME": "x", "OTEL_TRACES_SAMPLER": "always_on"}},
		{env: map[string]string{otelEndpoint: "http://c:4318"}, on: true},
		{env: map[string]string{otelTracesEndpoint: "http://c:4318/v1/traces"}, on: true},
		{env: map[string]string{otelExporter: "otlp"}, on: true},
		{env: map[string]string{otelExporter: "none", otelEndpoint: "http://c:4318"}},
		{env: map[string]string{otelDisabled: "true", otelEndpoint: "http://c:4318"}},
		{env: map[string]string{otelDisabled: "false", otelEndpoint: "http://c:4318"}, on: true},
		{env: map[string]string{otelDisabled: "true", otelExporter: "zipkin"}},
		{env: map[string]string{otelExporter: "zipkin"}, fail: "otlp or not at all"},
		{env: map[string]string{otelEndpoint: "http://c:4318", otelProtocol: "http/protobuf"}, on: true},
		{env: map[string]string{otelEndpoint: "http://c:4317", otelProtocol: "grpc"}, fail: "http/protobuf"},
		{env: map[string]string{otelEndpoint: "http://c:4317", otelProtocol: "grpc", otelTracesProtocol: "http/protobuf"}, on: true},
		{env: map[string]string{otelProtocol: "grpc"}},
	} {
		on, err := tracesOn(func(name string) string { return c.env[name] })
		if on != c.on || (err != nil) != (c.fail != "") || err != nil && !strings.Contains(err.Error(), c.fail) {
			t.Errorf("%v: on is %v, error %v", c.env, on, err)
		}
	}
}
