package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Health serves what an orchestrator asks a process over HTTP.
//
//	/healthz  200 while its main loops turn: restart it if not, or if this does not answer
//	/readyz   200 when it does its work, 503 with the reason otherwise
//	/metrics  Prometheus' text format
type Health struct {
	// Alive returns nil unless only a restart helps. It must be cheap and safe for concurrent use.
	Alive func() error
	// Ready returns nil when the process does its work, otherwise what it waits for. It must be cheap and safe for
	// concurrent use, and its text is shown to anybody who can reach the address.
	Ready   func() error
	Metrics *prometheus.Registry
	Log     *slog.Logger
}

// Listening is a health endpoint that accepts connections.
type Listening struct {
	listener net.Listener
	server   *http.Server
	log      *slog.Logger
}

// headerTimeout bounds how long a client may take to ask: a slow one must not hold a connection for ever.
const headerTimeout = 5 * time.Second

// Listen binds the address, such as ":8080" or "127.0.0.1:0". Serve must follow.
func (h Health) Listen(ctx context.Context, address string) (*Listening, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen for health checks on %s: %w", address, err)
	}
	return &Listening{listener: l, server: &http.Server{Handler: h.Handler(), ReadHeaderTimeout: headerTimeout}, log: h.Log}, nil
}

// Addr is the address that is listened on.
func (l *Listening) Addr() string { return l.listener.Addr().String() }

// Serve answers until ctx ends. Its end is no error.
func (l *Listening) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		if err := l.server.Close(); err != nil {
			l.log.DebugContext(ctx, "close the health endpoint", slog.Any("error", err))
		}
	})
	defer stop()
	if err := l.server.Serve(l.listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("health endpoint on %s: %w", l.Addr(), err)
	}
	return nil
}

// Handler returns the endpoint without a listener.
func (h Health) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		if err := h.Alive(); err != nil {
			h.say(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		h.say(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if err := h.Ready(); err != nil {
			h.say(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		h.say(w, http.StatusOK, "ready")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(h.Metrics, promhttp.HandlerOpts{}))
	return mux
}

func (h Health) say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	if _, err := io.WriteString(w, text+"\n"); err != nil {
		h.Log.Debug("answer a health check", slog.Any("error", err))
	}
}
