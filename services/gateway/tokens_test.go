package gateway

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/shapebus/shapebus/services/gateway/protocol"
)

// signer makes tokens.
type signer struct {
	id     string
	method jwt.SigningMethod
	key    crypto.Signer
}

func rsaSigner(t *testing.T, id string) signer {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return signer{id, jwt.SigningMethodRS256, key}
}

func ecSigner(t *testing.T, id string) signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return signer{id, jwt.SigningMethodES256, key}
}

// jwks is what a file or a URL says of signers' public keys.
func jwks(t *testing.T, of ...signer) []byte {
	t.Helper()
	number := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	var keys []map[string]string
	for _, s := range of {
		switch key := s.key.Public().(type) {
		case *rsa.PublicKey:
			keys = append(keys, map[string]string{
				"kty": "RSA", "kid": s.id, "use": "sig", "alg": "RS256", "n": number(key.N.Bytes()), "e": number(big.NewInt(int64(key.E)).Bytes()),
			})
		case *ecdsa.PublicKey:
			point, err := key.Bytes()
			if err != nil {
				t.Fatal(err)
			}
			keys = append(keys, map[string]string{
				"kty": "EC", "crv": "P-256", "kid": s.id, "use": "sig", "x": number(point[1:33]), "y": number(point[33:]),
			})
		}
	}
	text, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// sign makes a token with claims over those of a good one.
func sign(t *testing.T, method jwt.SigningMethod, id string, key any, over jwt.MapClaims) string {
	t.Helper()
	claims := jwt.MapClaims{"aud": "app", "iss": "us", "exp": time.Now().Add(time.Hour).Unix(), "shapes": []any{map[string]any{"table": "items"}}}
	for name, v := range over {
		if claims[name] = v; v == nil {
			delete(claims, name)
		}
	}
	token := jwt.NewWithClaims(method, claims)
	if id != "" {
		token.Header["kid"] = id
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func (s signer) token(t *testing.T, over jwt.MapClaims) string {
	t.Helper()
	return sign(t, s.method, s.id, s.key, over)
}

// admits reports whether a gate takes a token.
func admits(t *testing.T, g *gate, token string) bool {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/shape", http.NoBody)
	if token != "" {
		r.Header.Set("Authorization", token)
	}
	who, err := g.admit(r, protocol.Values{Values: url.Values{}})
	if err != nil && err != errUnauthorized { //nolint:errorlint // nothing else may be said, and nothing more
		t.Errorf("%.20s…: %v", token, err)
	}
	return err == nil && who.grants != nil
}

func keysFile(t *testing.T, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Tokens count that the keys of a file have signed, with the algorithm of the key. The public keys are known to everybody, so one
// must never be taken for a shared secret.
func TestTokensOfKeys(t *testing.T) {
	r, e, stranger := rsaSigner(t, "r"), ecSigner(t, "e"), rsaSigner(t, "r")
	g, err := newGate(Access{TokenKeys: keysFile(t, jwks(t, r, e)), TokenAudience: "app", TokenIssuer: "us"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(r.key.Public())
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	hour := func(n int) int64 { return time.Now().Add(time.Duration(n) * time.Hour).Unix() }
	good := r.token(t, nil)
	parts := strings.Split(good, ".")
	other := strings.Split(r.token(t, jwt.MapClaims{"shapes": []any{map[string]any{"table": "secrets"}}}), ".")
	for _, c := range []struct {
		name, token string
		good        bool
	}{
		{"RS256", "Bearer " + good, true},
		{"ES256", "Bearer " + e.token(t, nil), true},
		{"a scheme in another case", "bearer " + good, true}, // RFC 9110, 11.1
		{"without the key's id", "Bearer " + sign(t, r.method, "", r.key, nil), true},
		{"for several", "Bearer " + r.token(t, jwt.MapClaims{"aud": []string{"other", "app"}}), true},
		{"just expired, by clocks that differ", "Bearer " + r.token(t, jwt.MapClaims{"exp": time.Now().Add(-10 * time.Second).Unix()}), true},
		{"nothing", "", false},
		{"without Bearer", good, false},
		{"another scheme", "Basic " + good, false},
		{"another key under the same id", "Bearer " + stranger.token(t, nil), false},
		{"an id of no key", "Bearer " + sign(t, r.method, "x", r.key, nil), false},
		{"the id of another key", "Bearer " + sign(t, r.method, "e", r.key, nil), false},
		{"the public key as a secret", "Bearer " + sign(t, jwt.SigningMethodHS256, "r", public, nil), false},
		{"the public key as a secret, without an id", "Bearer " + sign(t, jwt.SigningMethodHS256, "", public, nil), false},
		{"an algorithm that is not offered", "Bearer " + sign(t, jwt.SigningMethodRS512, "r", r.key, nil), false},
		{"a padding that is not offered", "Bearer " + sign(t, jwt.SigningMethodPS256, "r", r.key, nil), false},
		{"no signature", "Bearer " + sign(t, jwt.SigningMethodNone, "r", jwt.UnsafeAllowNoneSignatureType, nil), false},
		{"the signature left out", "Bearer " + parts[0] + "." + parts[1] + ".", false},
		{"the claims of another token", "Bearer " + parts[0] + "." + other[1] + "." + parts[2], false},
		{"expired", "Bearer " + r.token(t, jwt.MapClaims{"exp": hour(-1)}), false},
		{"one that never expires", "Bearer " + r.token(t, jwt.MapClaims{"exp": nil}), false},
		{"not valid yet", "Bearer " + r.token(t, jwt.MapClaims{"nbf": hour(1)}), false},
		{"for another audience", "Bearer " + r.token(t, jwt.MapClaims{"aud": "other"}), false},
		{"for nobody", "Bearer " + r.token(t, jwt.MapClaims{"aud": nil}), false},
		{"of another issuer", "Bearer " + r.token(t, jwt.MapClaims{"iss": "them"}), false},
		{"one that is too large", "Bearer " + r.token(t, jwt.MapClaims{"pad": strings.Repeat("x", maxToken)}), false},
		{"no token", "Bearer a.b.c", false},
	} {
		if got := admits(t, g, c.token); got != c.good {
			t.Errorf("%s: taken %v, want %v", c.name, got, c.good)
		}
	}
}

// Keys behind a URL are fetched again when a token has another one's id, but not for each such token, which anybody can send.
func TestKeysBehindAURL(t *testing.T) {
	first, second := rsaSigner(t, "1"), ecSigner(t, "2")
	var text atomic.Pointer[[]byte]
	var asked atomic.Int64
	show := func(of ...signer) { b := jwks(t, of...); text.Store(&b) }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if b := text.Load(); b != nil {
			_, _ = w.Write(*b) // the client notices
			return
		}
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer server.Close()
	g, err := newGate(Access{TokenKeysURL: server.URL}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if admits(t, g, "Bearer "+first.token(t, nil)) {
		t.Error("a token is taken before there are keys")
	}
	show(first)
	if err := g.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !admits(t, g, "Bearer "+first.token(t, nil)) {
		t.Error("a token of the first key is not taken")
	}
	show(second)
	if !admits(t, g, "Bearer "+second.token(t, nil)) {
		t.Error("a token of the next key is not taken")
	}
	if admits(t, g, "Bearer "+first.token(t, nil)) {
		t.Error("a token of a key that is not there any more is taken")
	}
	before, began := asked.Load(), time.Now()
	for range 100 {
		if admits(t, g, "Bearer "+sign(t, first.method, rand.Text(), first.key, nil)) {
			t.Fatal("a token of an unknown key is taken")
		}
	}
	if n, most := asked.Load()-before, int64(1+time.Since(began)/unknownKeyAt); n > most {
		t.Errorf("100 tokens of unknown keys have the keys fetched %d times", n)
	}
}

// A gateway starts when the keys cannot be had, and lets nobody in.
func TestKeysThatCannotBeHad(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	g, err := newGate(Access{TokenKeysURL: server.URL}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if err := g.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := rsaSigner(t, "1"); admits(t, g, "Bearer "+s.token(t, nil)) {
		t.Error("a token is taken without keys")
	}
}

// What would let in more than was meant is refused at the start.
func TestAccessThatIsNotMeant(t *testing.T) {
	key := []byte(strings.Repeat("k", 32))
	for name, a := range map[string]Access{
		"two sources of keys":   {TokenSecret: key, TokenKeysURL: "http://127.0.0.1:1"},
		"an empty secret":       {TokenSecret: []byte{}},
		"a secret to guess":     {TokenSecret: key[:31]},
		"no file":               {TokenKeys: filepath.Join(t.TempDir(), "none")},
		"a file without JSON":   {TokenKeys: keysFile(t, []byte("keys"))},
		"a file without keys":   {TokenKeys: keysFile(t, []byte(`{"keys":[]}`))},
		"no name of a table":    {Tables: []string{"a.b.c"}},
		"an audience of nobody": {TokenAudience: "app"},
	} {
		if _, err := newGate(a, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}
