package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/shapebus/shapebus/internal/telemetry"
)

func TestLogger(t *testing.T) {
	log := func(t *testing.T, c telemetry.LogConfig) string {
		t.Helper()
		var out bytes.Buffer
		c.Writer = &out
		l, err := telemetry.Logger(c)
		if err != nil {
			t.Fatal(err)
		}
		l.Debug("not shown at info")
		l.Info("hello", slog.Int("rows", 3))
		return out.String()
	}
	t.Run("writes JSON where nobody watches", func(t *testing.T) {
		var rec map[string]any
		line := log(t, telemetry.LogConfig{})
		if err := json.Unmarshal([]byte(line), &rec); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if rec["msg"] != "hello" || rec["rows"] != 3.0 || !strings.HasSuffix(fmt.Sprint(rec["time"]), "Z") {
			t.Errorf("record %v", rec)
		}
	})
	t.Run("writes text on a terminal", func(t *testing.T) {
		if got := log(t, telemetry.LogConfig{Terminal: true}); !strings.Contains(got, "level=INFO msg=hello rows=3") {
			t.Errorf("got %q", got)
		}
	})
	t.Run("does what it is told", func(t *testing.T) {
		if got := log(t, telemetry.LogConfig{Format: telemetry.FormatText, Level: "warn"}); got != "" {
			t.Errorf("got %q at level warn", got)
		}
	})
	t.Run("refuses what it does not know", func(t *testing.T) {
		for _, c := range []telemetry.LogConfig{{Format: "xml"}, {Level: "loud"}} {
			if _, err := telemetry.Logger(c); err == nil {
				t.Errorf("%+v: no error", c)
			}
		}
	})
}

func TestHealth(t *testing.T) {
	var alive, ready atomic.Pointer[error]
	alive.Store(new(error))
	reason := errors.New("waits for the replication slot")
	ready.Store(&reason)
	reg, err := telemetry.Registry("v1", map[string]string{"source": "main"}, func() []telemetry.Metric {
		return []telemetry.Metric{
			telemetry.Counter("shapebus_test_rows_total", "Rows.", uint64(7)),
			telemetry.Gauge("shapebus_test_lag_bytes", "Lag in bytes.", 2.5),
			telemetry.Flag("shapebus_test_up", "1 when up.", true),
			telemetry.GaugeBy("shapebus_test_by_table", "By table.", "table", map[string]int64{"public.a": 1, `public."B"`: 2}),
			telemetry.GaugeBy("shapebus_test_by_none", "By table.", "table", nil),
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	h := telemetry.Health{Metrics: reg, Log: slog.New(slog.DiscardHandler), Alive: func() error { return *alive.Load() }, Ready: func() error { return *ready.Load() }}
	get := func(path string) (int, string) {
		w := httptest.NewRecorder()
		h.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		return w.Code, w.Body.String()
	}
	t.Run("is healthy before it is ready", func(t *testing.T) {
		if code, _ := get("/healthz"); code != http.StatusOK {
			t.Errorf("healthz %d", code)
		}
		if code, text := get("/readyz"); code != http.StatusServiceUnavailable || text != "waits for the replication slot\n" {
			t.Errorf("readyz %d %q", code, text)
		}
	})
	t.Run("is ready once it is", func(t *testing.T) {
		ready.Store(new(error))
		if code, _ := get("/readyz"); code != http.StatusOK {
			t.Errorf("readyz %d", code)
		}
	})
	t.Run("asks to be restarted once it is not alive", func(t *testing.T) {
		hangs := errors.New("the main loop hangs")
		alive.Store(&hangs)
		defer alive.Store(new(error))
		if code, text := get("/healthz"); code != http.StatusServiceUnavailable || text != "the main loop hangs\n" {
			t.Errorf("healthz %d %q", code, text)
		}
	})
	t.Run("shows the figures with their labels", func(t *testing.T) {
		_, text := get("/metrics")
		for _, want := range []string{
			"# TYPE shapebus_test_rows_total counter", `shapebus_test_rows_total{source="main"} 7`,
			`shapebus_test_lag_bytes{source="main"} 2.5`, `shapebus_test_up{source="main"} 1`,
			`shapebus_test_by_table{source="main",table="public.a"} 1`, `shapebus_test_by_table{source="main",table="public.\"B\""} 2`,
			`shapebus_build_info{source="main",version="v1"} 1`, "process_resident_memory_bytes", "go_goroutines",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in the metrics", want)
			}
		}
	})
	t.Run("serves on an address until its context ends", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l, err := h.Listen(ctx, "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- l.Serve(ctx) }()
		resp, err := http.Get("http://" + l.Addr() + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.Body.Close() != nil || resp.StatusCode != http.StatusOK {
			t.Errorf("status %d, %v", resp.StatusCode, err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Run("says which address is taken", func(t *testing.T) {
		if _, err := h.Listen(t.Context(), "127.0.0.1:999999"); err == nil || !strings.Contains(err.Error(), "127.0.0.1:999999") {
			t.Errorf("error %v", err)
		}
	})
}
