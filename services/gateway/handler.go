package gateway

import (
	"context"
	"encoding/json"
	"log"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/shapebus/shapebus/services/gateway/console"
	"github.com/shapebus/shapebus/services/gateway/protocol"
)

// What is answered on which path, after the path was decoded and cleaned: what may be asked is decided for the route and not for
// the text in the request.
const (
	pathRoot   = "/"
	pathHealth = "/v1/health"
	pathShape  = "/v1/shape"
)

// Handler answers requests. It needs Run beside it only to listen and to let go of what nobody asks for any more.
func (g *Gateway) Handler() http.Handler { return http.HandlerFunc(g.serve) }

func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 1 {
		g.hurry(w) // the time of the connection's last answer may be over
	}
	route := r.URL.Path
	if route != pathShape {
		route = path.Clean("/" + route)
	}
	if g.console != nil && console.Serves(route) {
		g.console.ServeHTTP(w, r)
		return
	}
	g.heads(w.Header(), route)
	switch route {
	case pathShape:
		g.count.requests.Add(1)
		if err := g.shape(w, r); err != nil {
			g.refuse(w, r, err)
		}
	case pathHealth:
		g.health(w, r)
	case pathRoot:
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusOK)
	default:
		w.Header().Set("Cache-Control", "no-store")
		http.Error(w, "Not found", http.StatusNotFound)
	}
}

// exposed are the headers that a browser shows to a page of another origin.
const exposed = "electric-cursor,electric-handle,electric-has-data,electric-offset,electric-schema,electric-up-to-date,electric-internal-known-error,electric-snapshot,retry-after"

// heads sets what every answer has.
func (g *Gateway) heads(h http.Header, route string) {
	f := &g.fixed
	h["Access-Control-Allow-Origin"], h["Access-Control-Expose-Headers"] = f.origin, f.exposed
	h["Electric-Server"], h["X-Content-Type-Options"] = f.server, f.nosniff
	if h["Access-Control-Allow-Methods"] = f.methods; route == pathShape {
		h["Access-Control-Allow-Methods"] = f.shapeMethods
	}
}

func (g *Gateway) shape(w http.ResponseWriter, r *http.Request) error {
	if r.Method == http.MethodOptions {
		preflight(w, r)
		return nil
	}
	leave, err := g.limits.enter(r)
	if err != nil {
		return err
	}
	defer leave()
	query, failed := url.ParseQuery(r.URL.RawQuery)
	if failed != nil {
		return protocol.Refuse(http.StatusBadRequest, "Invalid request: the query string cannot be read")
	}
	values := protocol.Values{Values: query}
	if g.access.private {
		w.Header().Add("Vary", "Authorization")
	}
	who, err := g.access.admit(r, values)
	if err != nil {
		return err
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		return g.read(w, r, who, values, nil)
	case http.MethodPost:
		body, done, err := g.limits.bodies.read(w, r)
		if err != nil {
			return err
		}
		defer done()
		subset, refused := protocol.ParseBody(body, values)
		if refused != nil {
			return refused
		}
		return g.read(w, r, who, values, subset)
	case http.MethodDelete:
		return g.remove(w, r, who, values)
	}
	w.Header().Set("Allow", "GET, POST, HEAD, DELETE, OPTIONS")
	return protocol.Refuse(http.StatusMethodNotAllowed, "Method not allowed")
}

// preflight answers what a browser asks before a request of another origin.
func preflight(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	if wanted := r.Header.Get("Access-Control-Request-Headers"); wanted != "" && len(wanted) <= 4096 {
		h.Set("Access-Control-Allow-Headers", wanted)
	}
	h.Set("Access-Control-Max-Age", "86400")
	if r.ProtoMajor == 1 {
		h.Set("Connection", "keep-alive")
	}
	h.Add("Vary", "Access-Control-Request-Headers")
	w.WriteHeader(http.StatusNoContent)
}

func (g *Gateway) health(w http.ResponseWriter, r *http.Request) {
	status, text := http.StatusOK, "active"
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "Method not allowed", http.StatusMethodNotAllowed)
		return
	case !g.cfg.NATS.IsConnected():
		status, text = http.StatusAccepted, "waiting"
	}
	w.Header().Set("Cache-Control", "no-cache, no-store, must-revalidate")
	g.json(w, status, map[string]string{"status": text})
}

// json answers with a small document.
func (g *Gateway) json(w http.ResponseWriter, status int, v any) {
	data, err := json.Marshal(v)
	if err != nil {
		g.cfg.Log.Error("encode an answer", slog.Any("error", err))
		status, data = http.StatusInternalServerError, []byte(`{"error":"Internal server error"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(data)))
	g.hurry(w)
	w.WriteHeader(status)
	_, _ = w.Write(data) // a client that has gone needs no answer
}

// errorLog passes on what the HTTP server says, which is about clients.
func errorLog(l *slog.Logger) *log.Logger {
	return log.New(lineWriter{l}, "", 0)
}

type lineWriter struct{ log *slog.Logger }

func (w lineWriter) Write(p []byte) (int, error) {
	level := slog.LevelDebug
	if strings.Contains(string(p), "panic") {
		level = slog.LevelError
	}
	w.log.Log(context.Background(), level, "HTTP server", slog.String("says", strings.TrimSpace(string(p))))
	return len(p), nil
}
