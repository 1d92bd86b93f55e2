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

// whose says which caches may keep an answer: with tokens none that others share.
func (a *answer) whose() string {
	if a.g.access.private {
		return "private"
	}
	return "public"
}

// caching is for how long an answer may be kept, and by whom.
func (a *answer) caching(b *shapes.Body) string {
	whose := a.whose()
	switch {
	case a.req.Offset.Now:
		return "no-store"
	case a.req.Live:
		return whose + ", max-age=5, stale-while-revalidate=5"
	case b.Full:
		return fmt.Sprintf("%s, max-age=%d, s-maxage=%d, stale-while-revalidate=%d", whose, seconds(forBrowsers), seconds(forProxies), seconds(whileAsking))
	}
	return fmt.Sprintf("%s, max-age=%d, stale-while-revalidate=%d", whose, seconds(a.g.cfg.MaxAge), seconds(a.g.cfg.StaleAge))
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
