package gateway

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/shapebus/shapebus/pkg/client"
	"github.com/shapebus/shapebus/pkg/control"
)

// What the control plane says may name tables and flags that are nobody's business; clients are told what to do.
func TestWhatTheControlPlaneRefuses(t *testing.T) {
	for code, want := range map[string]struct {
		status int
		again  bool
	}{
		control.CodeForbidden: {http.StatusForbidden, false}, control.CodeQuota: {http.StatusServiceUnavailable, true},
		control.CodeTooLarge: {http.StatusBadRequest, false}, control.CodeConflict: {http.StatusServiceUnavailable, true},
		control.CodeUnavailable: {http.StatusServiceUnavailable, true},
	} {
		e := refusal(&client.RequestError{Code: code, Text: "table hidden may not be asked for; see --allow-tables"})
		if e.Status != want.status || (e.RetryAfter > 0) != want.again || strings.Contains(e.Error(), "hidden") {
			t.Errorf("%s: %v, again after %d s", code, e, e.RetryAfter)
		}
	}
}

// An answer that was given up must not look like one.
func TestARequestThatWasGivenUpIsNotAnswered(t *testing.T) {
	g := &Gateway{}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	defer func() {
		if p := recover(); p != any(http.ErrAbortHandler) || w.Body.Len() > 0 || len(w.Header()) > 0 {
			t.Errorf("it ends with %v, %v", p, w.Header())
		}
	}()
	g.refuse(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/shape", http.NoBody), errForbidden)
}
