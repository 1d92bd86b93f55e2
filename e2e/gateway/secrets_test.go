package gateway

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"

	"github.com/shapebus/shapebus/e2e/proc"
	"github.com/shapebus/shapebus/e2e/stack"
)

// TestSecretsAreNotLogged sends secrets and tokens, good ones and bad ones, with requests that work and that do not, and looks for them in
// all that is logged and answered.
func TestSecretsAreNotLogged(t *testing.T) {
	s := stack.Start(t, items)
	var log proc.Log
	s.Gateway.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	key := []byte("a-key-that-must-not-be-seen-anywhere")
	s.Gateway.Access.Secret, s.Gateway.Access.TokenSecret, s.Gateway.Access.TokenAudience = "hush-hush", key, "app"
	s.Gateway.DatabaseURL = strings.Replace(s.Gateway.DatabaseURL, "@", ":word-of-the-database@", 1)
	base, _ := s.StartGateway()
	claims := jwt.MapClaims{"aud": "app", "exp": time.Now().Add(time.Hour).Unix(), "shapes": []any{map[string]any{"table": "items"}}}
	good, err := jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	secrets := []string{"hush-hush", string(key), good, "not-the-secret", "bad.token.text", "word-of-the-database"}
	await(t, base, values("table", "items", "offset", "-1", "secret", "hush-hush"), "Authorization", "Bearer "+good)
	for _, where := range []string{"", "id = 1", "1 x 1", "nothing = 1", "id IN (SELECT id FROM secrets)", "id = $1"} {
		for _, secret := range []string{"hush-hush", "not-the-secret"} {
			for _, token := range []string{good, "bad.token.text", good + "x"} {
				for _, offset := range []string{"-1", "now", "8_2"} {
					q := values("table", "items", "offset", offset, "handle", "nobodys", "where", where, "secret", secret, "subset__limit", "x")
					r := mustGet(t, base, q, "Authorization", "Bearer "+token)
					for _, hidden := range secrets {
						if strings.Contains(string(r.body), hidden) {
							t.Errorf("the answer to %s says %s", q.Encode(), r.body)
						}
					}
				}
			}
		}
	}
	rawStatus(t, base, "GET /v1/shape?secret=hush-hush HTTP/9.9\r\nHost: x\r\n\r\n")
	rawStatus(t, base, "GET /v1/shape?secret=hush-hush HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+good+"\r\nbad\r\n\r\n")
	for _, hidden := range secrets {
		if strings.Contains(log.String(), hidden) {
			t.Errorf("%q stands in the log:\n%s", hidden, log.String())
		}
	}
}

// TestWhoMayNotAskLearnsNothing compares what is said of a table that there is and of one that there is not.
func TestWhoMayNotAskLearnsNothing(t *testing.T) {
	s := stack.Start(t, items)
	key := []byte(strings.Repeat("k", 32))
	s.Gateway.Access.TokenSecret = key
	base, _ := s.StartGateway()
	token, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"exp": time.Now().Add(time.Hour).Unix(), "shapes": []any{map[string]any{"table": "items", "where": "owner = 'ann'"}},
	}).SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	await(t, base, values("table", "items", "offset", "-1"), "Authorization", "Bearer "+token)
	type said struct {
		status int
		body   string
		header http.Header
	}
	ask := func(auth, table string, more ...string) said {
		t.Helper()
		r := mustGet(t, base, values(append([]string{"table", table, "offset", "-1"}, more...)...), "Authorization", auth)
		r.header.Del("Date")
		return said{r.status, string(r.body), r.header}
	}
	for name, more := range map[string][]string{
		"rows": nil, "a condition": {"where", "id = 1"}, "columns": {"columns", "id"}, "columns that are not": {"columns", "nothing"}, "a bad condition": {"where", "nothing = 1"},
		"a subset": {"subset__where", "id = 1"}, "an order": {"subset__order_by", "id", "subset__limit", "1"},
	} {
		for who, auth := range map[string]string{"nobody": "", "who may see another table": "Bearer " + token} {
			there, not := ask(auth, "secrets", more...), ask(auth, "nothing", more...)
			if diff := cmp.Diff(there, not, cmp.AllowUnexported(said{})); diff != "" || there.status == http.StatusOK {
				t.Errorf("%s, to %s: status %d, %s", name, who, there.status, diff)
			}
		}
	}
	// Nor of tables in subqueries.
	there := ask("Bearer "+token, "items", "where", "id IN (SELECT id FROM secrets)")
	not := ask("Bearer "+token, "items", "where", "id IN (SELECT id FROM nothing)")
	if diff := cmp.Diff(there, not, cmp.AllowUnexported(said{})); diff != "" || there.status != http.StatusForbidden {
		t.Errorf("a subquery: status %d, %s", there.status, diff)
	}
}
