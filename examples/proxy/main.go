// Command proxy lets the users of an app see their own rows, in browsers. It stands before a gateway whose secret only it has: a browser
// says how far it is, and which shape that is about the proxy says.
//
//	shapebus gateway --secret … &
//	go run ./examples/proxy -gateway http://127.0.0.1:3000 -secret … -sessions s3cr3t=ann,t0k3n=bob
//	curl -H 'Authorization: Bearer s3cr3t' 'http://127.0.0.1:8080/tasks?offset=-1'
//
// An app has its own sessions, and more shapes than this one.
package main

import (
	"flag"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address to listen on")
	gateway := flag.String("gateway", "http://127.0.0.1:3000", "the gateway")
	secret := flag.String("secret", "", "the gateway's secret")
	sessions := flag.String("sessions", "", "who is signed in: session=user,…")
	flag.Parse()

	to, err := url.Parse(*gateway)
	if err != nil {
		log.Fatal(err)
	}
	server := http.Server{Addr: *listen, Handler: handler(to, *secret, users(*sessions)), ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}

// users reads session=user,…
func users(text string) map[string]string {
	out := map[string]string{}
	for pair := range strings.SplitSeq(text, ",") {
		if session, user, ok := strings.Cut(pair, "="); ok && session != "" {
			out[session] = user
		}
	}
	return out
}

// handler answers with the shape of the tasks of who asks.
func handler(to *url.URL, secret string, users map[string]string) http.Handler {
	userOf := func(r *http.Request) string {
		session, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		return users[session]
	}
	proxy := &httputil.ReverseProxy{
		FlushInterval: -1, // server-sent events are passed on as they come
		Rewrite: func(r *httputil.ProxyRequest) {
			q := url.Values{}
			for name, values := range r.In.URL.Query() {
				if isPosition(name) {
					q[name] = values
				}
			}
			q.Set("table", "tasks")
			q.Set("where", "owner = $1")
			q.Set("params[1]", userOf(r.In))
			q.Set("secret", secret)
			r.SetURL(to)
			r.Out.URL.Path, r.Out.URL.RawPath, r.Out.URL.RawQuery = "/v1/shape", "", q.Encode()
			r.Out.Header.Del("Authorization")
			r.Out.Header.Del("Cookie")
		},
		ModifyResponse: func(r *http.Response) error {
			// The same URL is another shape for somebody else. No cache may take one for the other.
			if keep := r.Header.Get("Cache-Control"); keep != "" {
				r.Header.Set("Cache-Control", strings.Replace(keep, "public", "private", 1))
			}
			r.Header.Add("Vary", "Authorization")
			return nil
		},
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/tasks", func(w http.ResponseWriter, r *http.Request) {
		switch {
		case userOf(r) == "":
			http.Error(w, "Sign in first.", http.StatusUnauthorized)
		case r.Method != http.MethodGet && r.Method != http.MethodHead && r.Method != http.MethodPost:
			http.Error(w, "Shapes are read only.", http.StatusMethodNotAllowed)
		default:
			proxy.ServeHTTP(w, r)
		}
	})
	return mux
}

// isPosition reports whether a parameter says how far a client is, or which rows of the shape it wants first. All others would say
// which shape it is.
func isPosition(name string) bool {
	switch name {
	case "offset", "handle", "live", "live_sse", "cursor", "log", "replica", "expired_handle", "cache-buster":
		return true
	}
	return strings.HasPrefix(name, "subset__")
}
