package pg

import (
	"net/url"
	"regexp"
	"strings"
)

// unreadable stands for a connection string in which the password cannot be
// told from the rest with certainty.
const unreadable = "(unreadable connection string)"

var (
	hostList   = regexp.MustCompile(`^(\[[0-9a-fA-F:.%]+\]|[^\s:/?#@\[\],=&]*)(:[0-9]*)?(,(\[[0-9a-fA-F:.%]+\]|[^\s:/?#@\[\],=&]*)(:[0-9]*)?)*$`)
	noSecret   = regexp.MustCompile(`^[^:/?#@=&\s]*$`)
	shownValue = regexp.MustCompile(`^[A-Za-z0-9_./:,%-]*$`)
)

// shownKeys are the settings that Redact lets through; whatever else a
// connection string says may be a secret.
var shownKeys = map[string]bool{"host": true, "hostaddr": true, "port": true, "user": true, "dbname": true, "sslmode": true}

// Redact returns a connection string (URL or key=value) without its secrets,
// for messages and logs: user, hosts, database and sslmode. What it cannot
// take apart with certainty it does not show at all.
func Redact(connString string) string {
	connString, err := resolve(connString)
	if err != nil {
		return unreadable
	}
	for _, scheme := range []string{"postgres://", "postgresql://"} {
		if rest, ok := strings.CutPrefix(connString, scheme); ok {
			return redactURL(scheme, rest)
		}
	}
	return redactKeyValue(connString)
}

func redactURL(scheme, rest string) string {
	user := ""
	if i := strings.IndexAny(rest, "@/"); i >= 0 && rest[i] == '@' {
		user, _, _ = strings.Cut(rest[:i], ":")
		rest = rest[i+1:]
		if !noSecret.MatchString(user) {
			return unreadable
		}
		user += "@"
	}
	rest, query, _ := strings.Cut(rest, "?")
	hosts, database, slash := strings.Cut(rest, "/")
	// A password with an unescaped @, / or ? spills over into these parts.
	if !hostList.MatchString(hosts) || !noSecret.MatchString(database) {
		return unreadable
	}
	if slash {
		hosts += "/" + database
	}
	var shown []string
	for pair := range strings.SplitSeq(query, "&") {
		key, value, ok := strings.Cut(pair, "=")
		if pair != "" && !ok {
			return unreadable
		}
		if name, err := url.PathUnescape(key); err == nil && shownKeys[name] && shownValue.MatchString(value) {
			shown = append(shown, key+"="+value)
		}
	}
	if len(shown) > 0 {
		hosts += "?" + strings.Join(shown, "&")
	}
	return scheme + user + hosts
}

func redactKeyValue(s string) string {
	var out []string
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimSpace(s) {
		key, rest, ok := strings.Cut(s, "=")
		key = strings.TrimSpace(key)
		if !ok || !plainIdent.MatchString(key) {
			return unreadable
		}
		value, after, ok := keywordValue(strings.TrimLeft(rest, " \t\r\n"))
		if !ok {
			return unreadable
		}
		s = after
		if shownKeys[key] && shownValue.MatchString(value) {
			out = append(out, key+"="+value)
		}
	}
	return strings.Join(out, " ")
}

// keywordValue takes one value off the front of s by libpq's rules: single
// quotes around it, backslash before a quote or a backslash.
func keywordValue(s string) (value, rest string, ok bool) {
	quoted := strings.HasPrefix(s, "'")
	if quoted {
		s = s[1:]
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case quoted && c == '\'':
			return b.String(), s[i+1:], true
		case !quoted && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			return b.String(), s[i:], true
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "", !quoted
}
