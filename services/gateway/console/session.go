package console

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// level is what somebody may do.
type level string

const (
	nobody level = ""
	viewer level = "viewer" // sees no rows and changes nothing
	full   level = "full"
)

// A session is its level, when it ends, a random text, and a signature of these by a key that comes
// of the secret. So no process keeps sessions, all with the same secrets know them, and another
// secret ends them.
const (
	cookieName    = "shapebus_console"
	sessionLength = 12 * time.Hour
	maxCookie     = 256
)

// keys know the secrets as far as they are needed.
type keys struct {
	secrets map[level][sha256.Size]byte
	signing map[level][]byte
}

func newKeys(secret, viewerSecret string) keys {
	k := keys{secrets: map[level][sha256.Size]byte{}, signing: map[level][]byte{}}
	for l, s := range map[level]string{full: secret, viewer: viewerSecret} {
		if s == "" {
			continue
		}
		k.secrets[l] = sha256.Sum256([]byte(s))
		mac := hmac.New(sha256.New, []byte(s))
		mac.Write([]byte("sessions of the Shapebus console"))
		k.signing[l] = mac.Sum(nil)
	}
	return k
}

// opens says what a secret opens. It takes as long for any secret of a length.
func (k keys) opens(secret string) level {
	given := sha256.Sum256([]byte(secret))
	out := nobody
	for _, l := range []level{viewer, full} {
		want, ok := k.secrets[l]
		if equal := subtle.ConstantTimeCompare(given[:], want[:]); ok && equal == 1 {
			out = l
		}
	}
	return out
}

func (k keys) sign(l level, what string) string {
	mac := hmac.New(sha256.New, k.signing[l])
	mac.Write([]byte(what))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// issue makes a session.
func (k keys) issue(l level, now time.Time) string {
	what := string(l) + "." + strconv.FormatInt(now.Add(sessionLength).Unix(), 10) + "." + rand.Text()
	return what + "." + k.sign(l, what)
}

// read says what a session may do: nobody's if it is over, or none.
func (k keys) read(text string, now time.Time) level {
	if len(text) > maxCookie {
		return nobody
	}
	at := strings.LastIndexByte(text, '.')
	parts := strings.Split(text, ".")
	if at < 0 || len(parts) != 4 {
		return nobody
	}
	l := level(parts[0])
	if _, known := k.signing[l]; !known || !hmac.Equal([]byte(text[at+1:]), []byte(k.sign(l, text[:at]))) {
		return nobody
	}
	until, err := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || now.Unix() >= until {
		return nobody
	}
	return l
}

// who says what the one who asks may do.
func (c *Console) who(r *http.Request) level {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return nobody
	}
	return c.keys.read(cookie.Value, time.Now())
}

// cookie holds a session; an empty one takes it away.
func cookie(r *http.Request, session string) *http.Cookie {
	out := &http.Cookie{
		Name: cookieName, Value: session, Path: Path, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https", MaxAge: int(sessionLength.Seconds()),
	}
	if session == "" {
		out.MaxAge = -1
	}
	return out
}

// session answers who one is, opens a session for a secret, and ends one.
func (c *Console) session(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPost:
		var given struct {
			Secret string `json:"secret"`
		}
		if !read(w, r, &given) {
			return
		}
		if !c.tries.Allow() {
			fail(w, http.StatusTooManyRequests, "Too many tries at once. Wait a moment.")
			return
		}
		l := c.keys.opens(given.Secret)
		if l == nobody {
			fail(w, http.StatusUnauthorized, "That is not the console’s secret.")
			return
		}
		http.SetCookie(w, cookie(r, c.keys.issue(l, time.Now())))
		c.tellSession(w, l)
	case http.MethodDelete:
		http.SetCookie(w, cookie(r, ""))
		w.WriteHeader(http.StatusNoContent)
	default:
		c.tellSession(w, c.who(r))
	}
}

func (c *Console) tellSession(w http.ResponseWriter, l level) {
	if l == nobody {
		answer(w, map[string]string{"level": ""}) // no more than that to who has no session
		return
	}
	answer(w, map[string]string{"level": string(l), "source": string(c.cfg.Source), "version": c.cfg.Version})
}
