package gateway

import (
	"fmt"
	"strings"
	"time"

	"github.com/shapebus/shapebus/services/gateway/shapes"
)

// What caches may do with what never changes.
const (
	forBrowsers = 7 * 24 * time.Hour
	forProxies  = time.Hour
	whileAsking = 2629746 * time.Second // a month
)

// fixed are values of headers that many answers have. They share them, since each has a header of its own and none changes a value
// in it.
type fixed struct {
	origin, methods, shapeMethods, exposed, server, nosniff []string
	empty, yes, no, json                                    []string
	keepNot, keepLive, keepFull, keepEnd                    []string // what caches may do
}

func (g *Gateway) fix() {
	one := func(value string) []string { return []string{value} }
	whose := g.whose()
	g.fixed = fixed{
		origin:  one("*"), // the same for all, since caches keep it; no answer depends on cookies
		methods: one("GET, HEAD"), shapeMethods: one("GET, POST, HEAD, DELETE, OPTIONS"), exposed: one(exposed),
		server: one("Shapebus/" + g.cfg.Version), nosniff: one("nosniff"),
		empty: one(""), yes: one("true"), no: one("false"), json: one("application/json; charset=utf-8"),
		keepNot:  one("no-store"),
		keepLive: one(whose + ", max-age=5, stale-while-revalidate=5"),
		keepFull: one(fmt.Sprintf("%s, max-age=%d, s-maxage=%d, stale-while-revalidate=%d", whose, seconds(forBrowsers), seconds(forProxies), seconds(whileAsking))),
		keepEnd:  one(fmt.Sprintf("%s, max-age=%d, stale-while-revalidate=%d", whose, seconds(g.cfg.MaxAge), seconds(g.cfg.StaleAge))),
	}
}

// whose says which caches may keep an answer: with tokens none that others share.
func (g *Gateway) whose() string {
	if g.access.private {
		return "private"
	}
	return "public"
}

// caching is for how long an answer may be kept, and by whom.
func (a *answer) caching(b *shapes.Body) []string {
	fixed := &a.g.fixed
	switch {
	case a.req.Offset.Now:
		return fixed.keepNot
	case a.req.Live:
		return fixed.keepLive
	case b.Full:
		return fixed.keepFull
	}
	return fixed.keepEnd
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// matches reports whether a tag is one of those that a client has.
func matches(header, tag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		part = strings.TrimPrefix(strings.TrimSpace(part), "W/")
		if strings.Trim(part, `"`) == tag {
			return true
		}
	}
	return false
}
