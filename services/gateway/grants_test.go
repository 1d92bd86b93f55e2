package gateway

import (
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"

	"github.com/shapebus/shapebus/services/gateway/protocol"
)

// Whoever makes tokens may err. What a grant says and nobody understands would be a restriction that is missing, so such a
// token allows nothing at all, and the log says why.
func TestAGrantMeansWhatItSays(t *testing.T) {
	secret := []byte(strings.Repeat("s", 32))
	var log strings.Builder
	g, err := newGate(Access{TokenSecret: secret}, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	admit := func(header map[string]any, shapes any) (*principal, error) {
		t.Helper()
		token := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{"exp": 1 << 40, "shapes": shapes})
		maps.Copy(token.Header, header)
		text, err := token.SignedString(secret)
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/shape", nil)
		r.Header.Set("Authorization", "Bearer "+text)
		return g.admit(r, protocol.Values{})
	}
	type object = map[string]any
	all := object{"table": "tasks"}
	for name, tt := range map[string]struct {
		shapes any
		good   bool
	}{
		"a whole table":             {[]any{all}, true},
		"all that can be said":      {[]any{object{"table": "tasks", "where": "owner = $1", "params": []any{"ann"}, "columns": []any{"id"}}}, true},
		"no grants":                 {[]any{}, true},
		"an unknown word":           {[]any{object{"table": "tasks", "wher": "false"}}, false},
		"a word in another case":    {[]any{object{"table": "tasks", "Where": "false"}}, false},
		"one column's word":         {[]any{object{"table": "tasks", "column": []any{"id"}}}, false},
		"no columns":                {[]any{object{"table": "tasks", "columns": []any{}}}, false},
		"a column without a name":   {[]any{object{"table": "tasks", "columns": []any{"id", ""}}}, false},
		"columns that are null":     {[]any{object{"table": "tasks", "columns": nil}}, false},
		"a condition that is null":  {[]any{object{"table": "tasks", "where": nil}}, false},
		"a condition that is empty": {[]any{object{"table": "tasks", "where": ""}}, false},
		"a condition that is blank": {[]any{object{"table": "tasks", "where": " \n"}}, false},
		"parameters of nothing":     {[]any{object{"table": "tasks", "params": []any{"ann"}}}, false},
		"a parameter that is null":  {[]any{object{"table": "tasks", "where": "owner = $1", "params": []any{nil}}}, false},
		"no table":                  {[]any{object{"where": "owner = $1"}}, false},
		"a name that is none":       {[]any{object{"table": "ta sks"}}, false},
		"one of two":                {[]any{all, object{"table": "tasks", "wher": "false"}}, false},
		"text":                      {[]any{"tasks"}, false},
		"an object":                 {all, false},
	} {
		log.Reset()
		g.said = rate.Sometimes{First: 1} // as if it had not been said
		_, err := admit(nil, tt.shapes)
		if (err == nil) != tt.good {
			t.Errorf("%s: %v, want it taken: %t", name, err, tt.good)
		}
		if said := strings.Contains(log.String(), "grant"); !tt.good && !said && name != "an object" {
			t.Errorf("%s: the log does not say why: %q", name, log.String())
		}
	}
	// RFC 7515, 4.1.11: who does not understand what a header calls critical must refuse the token.
	if _, err := admit(object{"crit": []any{"b64"}, "b64": false}, []any{all}); err == nil {
		t.Error("a token is taken whose header has a critical extension that nobody here knows")
	}
}
