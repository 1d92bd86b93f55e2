package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/MicahParks/keyfunc/v3"
	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/time/rate"

	"github.com/shapebus/shapebus/services/gateway/protocol"
)

// Access says who may ask for what. Its rules add up: a request has to pass all that are set.
type Access struct {
	// Secret must come with each request, as the parameter secret.
	Secret string
	// Tables are all that may be asked for, as SQL writes their names; none means every table.
	Tables []string

	// A JSON web token must come with each request if one of these is set, as a bearer in the header Authorization. Only one of
	// them may be.
	TokenSecret  []byte // shared, for HS256; nil for none
	TokenKeys    string // file that holds keys as a JWKS
	TokenKeysURL string // where to get such, again and again

	TokenAudience string // which the token must be for; "" for any
	TokenIssuer   string // who must have made it; "" for anybody
}

// gate applies the rules.
type gate struct {
	access  Access
	secret  [sha256.Size]byte
	tables  []string // "schema"."table"
	parser  *jwt.Parser
	key     jwt.Keyfunc
	private bool // answers are for who has asked, and not for caches that others share
	log     *slog.Logger
	clauses protocol.Clauses
	said    rate.Sometimes // of tokens that are signed rightly and cannot be understood
}

// algorithms are those that are accepted with a shared secret, and with keys. They never mix: a public key must not be
// taken for a shared secret.
var (
	secretAlgorithms = []string{"HS256"}
	keyAlgorithms    = []string{"RS256", "ES256"}
)

// clockSkew is how far the clock of who makes tokens may be off.
const clockSkew = 30 * time.Second

func newGate(a Access, log *slog.Logger) (*gate, error) {
	g := &gate{access: a, secret: sha256.Sum256([]byte(a.Secret)), log: log, said: rate.Sometimes{First: 1, Interval: sayEvery}}
	for _, t := range a.Tables {
		schema, name, err := protocol.Table(t)
		if err != nil {
			return nil, fmt.Errorf("table %s: %w", t, err)
		}
		g.tables = append(g.tables, qualified(schema, name))
	}
	set := 0
	for _, on := range []bool{a.TokenSecret != nil, a.TokenKeys != "", a.TokenKeysURL != ""} {
		if on {
			set++
		}
	}
	if set == 0 && (a.TokenAudience != "" || a.TokenIssuer != "") {
		return nil, errors.New("an audience or issuer of tokens is given and no keys: nothing would be checked")
	}
	if set == 0 {
		return g, nil
	}
	if set > 1 {
		return nil, errors.New("only one source of keys for tokens may be given")
	}
	algorithms := keyAlgorithms
	switch {
	case a.TokenSecret != nil && len(a.TokenSecret) < 32:
		return nil, errors.New("the shared secret of tokens has less than 32 bytes, which can be guessed")
	case a.TokenSecret != nil:
		algorithms = secretAlgorithms
		g.key = func(*jwt.Token) (any, error) { return a.TokenSecret, nil }
	case a.TokenKeys != "":
		text, err := os.ReadFile(a.TokenKeys)
		if err != nil {
			return nil, fmt.Errorf("keys of tokens: %w", err)
		}
		keys, err := keyfunc.NewJWKSetJSON(text)
		if err != nil {
			return nil, fmt.Errorf("keys of tokens in %s: %w", a.TokenKeys, err)
		}
		var set struct {
			Keys []json.RawMessage `json:"keys"`
		}
		if err := json.Unmarshal(text, &set); err != nil || len(set.Keys) == 0 {
			return nil, fmt.Errorf("keys of tokens in %s: there are none", a.TokenKeys)
		}
		g.key = keys.Keyfunc
	}
	opts := []jwt.ParserOption{jwt.WithValidMethods(algorithms), jwt.WithExpirationRequired(), jwt.WithLeeway(clockSkew)}
	if a.TokenAudience != "" {
		opts = append(opts, jwt.WithAudience(a.TokenAudience))
	}
	if a.TokenIssuer != "" {
		opts = append(opts, jwt.WithIssuer(a.TokenIssuer))
	}
	g.parser, g.private = jwt.NewParser(opts...), true
	return g, nil
}

// Of keys that are fetched: how long that may take, how often it is done, and how often at most for tokens of keys that are
// not known. Anybody can send such tokens, so they bring about few requests, and wait only where one may be made within a moment. That
// is long enough for a busy machine: a token of a new key must not be refused since it was looked at too late.
const (
	keysWithin     = 10 * time.Second
	keysEvery      = 10 * time.Minute
	unknownKeyAt   = 10 * time.Second
	unknownKeyWait = 250 * time.Millisecond
)

// start fetches keys that are elsewhere, and keeps them fresh until ctx ends. That they cannot be had now is no error.
func (g *gate) start(ctx context.Context) error {
	if g.access.TokenKeysURL == "" {
		return nil
	}
	shown := "a URL that cannot be read"
	if u, err := url.Parse(g.access.TokenKeysURL); err == nil {
		u.RawQuery = "" // it may hold a secret, as the password may
		shown = u.Redacted()
	}
	keys, err := keyfunc.NewDefaultOverrideCtx(ctx, []string{g.access.TokenKeysURL}, keyfunc.Override{
		HTTPTimeout: keysWithin, RefreshInterval: keysEvery, RateLimitWaitMax: unknownKeyWait, RefreshUnknownKID: rate.NewLimiter(rate.Every(unknownKeyAt), 1),
		RefreshErrorHandlerFunc: func(string) func(context.Context, error) {
			return func(ctx context.Context, err error) {
				g.log.WarnContext(ctx, "cannot fetch the keys of tokens", slog.String("url", shown), slog.String("error", strings.ReplaceAll(err.Error(), g.access.TokenKeysURL, shown)))
			}
		},
	})
	if err != nil {
		return fmt.Errorf("keys of tokens: %w", err)
	}
	g.key = keys.Keyfunc
	return nil
}

// errUnauthorized is all that is said to who may not ask: not what is missing, nor whether there is such a table.
var (
	errUnauthorized = protocol.Refuse(http.StatusUnauthorized, "Unauthorized")
	errSecret       = protocol.Refuse(http.StatusUnauthorized, "Unauthorized - Invalid API secret")
	errForbidden    = protocol.Refuse(http.StatusForbidden, "Forbidden")
)

// admit checks who asks.
func (g *gate) admit(r *http.Request, v protocol.Values) (*principal, error) {
	if g.access.Secret != "" {
		given := v.Get("secret")
		if given == "" {
			given = v.Get("api_secret")
		}
		sum := sha256.Sum256([]byte(given))
		if subtle.ConstantTimeCompare(sum[:], g.secret[:]) != 1 {
			return nil, errSecret
		}
	}
	who := &principal{gate: g}
	if g.parser == nil {
		return who, nil
	}
	scheme, text, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || len(text) > maxToken || g.key == nil {
		return nil, errUnauthorized
	}
	var c claims
	token, err := g.parser.ParseWithClaims(text, &c, g.key)
	if err != nil {
		return nil, errUnauthorized
	}
	if _, critical := token.Header["crit"]; critical { // RFC 7515, 4.1.11: no extension is known here
		return nil, errUnauthorized
	}
	if who.grants, err = parseGrants(c.Shapes); err != nil {
		g.said.Do(func() { g.misunderstood(err) })
		return nil, errUnauthorized
	}
	return who, nil
}

func (g *gate) misunderstood(err error) {
	g.log.Warn("a token that is signed rightly is refused; whoever makes tokens has to mend it", slog.Any("error", err))
}

// sayEvery is how often it is said that tokens are refused which the right key has signed.
const sayEvery = time.Minute

// maxToken bounds a token before it is read.
const maxToken = 16 << 10
