package console

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/time/rate"

	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/topology"
)

// Config is what a Console needs.
type Config struct {
	Source topology.Source
	NATS   *nats.Conn // stays the caller's
	// APIPrefix is what JetStream's subjects begin with; default $JS.API.
	APIPrefix string
	Log       *slog.Logger

	// Secret opens everything; it must be long enough not to be guessed.
	Secret string
	// ViewerSecret, if there is one, opens what shows no rows and changes nothing.
	ViewerSecret string

	Version string // of the program
}

// Path is where the console is; its handler takes it and all below it.
const Path = "/console"

// Bounds of what is done at once.
const (
	minSecret   = 12 // bytes
	maxStreams  = 48
	maxAsking   = 16
	triesPerSec = 5 // of secrets, right ones among them
	triesAtOnce = 20
)

// Console serves the pages of one source.
type Console struct {
	cfg      Config
	client   *client.Client
	keys     keys
	tries    *rate.Limiter
	origin   *http.CrossOriginProtection
	streams  chan struct{} // a token for each that is open
	asking   chan struct{} // and for each request to the control plane
	room     room          // of what is gathered for pages
	pulse    *pulse
	routes   *http.ServeMux
	stopping chan struct{}
}

// New checks the configuration. It does no I/O.
func New(cfg Config) (*Console, error) {
	switch {
	case len(cfg.Secret) < minSecret:
		return nil, fmt.Errorf("the console's secret has less than %d bytes, which can be guessed", minSecret)
	case cfg.ViewerSecret != "" && len(cfg.ViewerSecret) < minSecret:
		return nil, fmt.Errorf("the console's secret for viewers has less than %d bytes, which can be guessed", minSecret)
	case cfg.Secret == cfg.ViewerSecret:
		return nil, errors.New("both secrets of the console are the same: viewers could do everything")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cl, err := client.New(cfg.NATS, string(cfg.Source), client.WithAPIPrefix(cfg.APIPrefix))
	if err != nil {
		return nil, fmt.Errorf("console: %w", err)
	}
	c := &Console{
		cfg: cfg, client: cl, keys: newKeys(cfg.Secret, cfg.ViewerSecret), tries: rate.NewLimiter(triesPerSec, triesAtOnce),
		origin: http.NewCrossOriginProtection(), streams: make(chan struct{}, maxStreams), asking: make(chan struct{}, maxAsking),
		room:  room{limit: maxPages},
		pulse: newPulse(cl, cfg.Log), stopping: make(chan struct{}),
	}
	c.routes = c.mux()
	return c, nil
}

// Run looks at the source until ctx ends; then streams that are open end too.
func (c *Console) Run(ctx context.Context) {
	c.pulse.run(ctx)
	close(c.stopping)
}

// Serves reports whether a path, decoded and cleaned, is the console's.
func Serves(path string) bool { return path == Path || strings.HasPrefix(path, Path+"/") }

// fileWithin bounds how long a file may take to go.
const fileWithin = time.Minute

// ServeHTTP answers what Serves says.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(fileWithin)) // other answers have bounds of their own
	protect(w.Header())
	if err := c.origin.Check(r); err != nil || foreign(r) {
		fail(w, http.StatusForbidden, "This request comes from another site.")
		return
	}
	c.routes.ServeHTTP(w, r)
}

// askWithin bounds a request to the control plane.
const askWithin = 25 * time.Second

// enter admits a request to the control plane.
func (c *Console) enter(ctx context.Context) (asking context.Context, leave func(), ok bool) {
	ctx, cancel := context.WithTimeout(ctx, askWithin)
	select {
	case c.asking <- struct{}{}:
		return ctx, func() { cancel(); <-c.asking }, true
	case <-ctx.Done():
		cancel()
		return nil, nil, false
	}
}
