package shape

import (
	"errors"
	"fmt"
	"strings"
)

// maxWritten bounds a table's name as it is written: every byte may be a quote, which is written as two.
const maxWritten = 4*MaxName + len(`"".""`)

// ParseTable splits a table's name as SQL writes it, such as tasks,
// public.tasks or "My Schema"."Tasks". Names without quotes are folded to
// lower case as Postgres does it, A to Z only; without a schema it is public. Each
// is a name that Postgres can have (CheckName).
func ParseTable(s string) (schema, table string, err error) {
	if len(s) > maxWritten {
		return "", "", fmt.Errorf("a table name of %d bytes; Postgres has no name of more than %d bytes", len(s), MaxName)
	}
	parts, err := identifiers(s)
	for _, part := range parts {
		if err == nil {
			err = CheckName(part)
		}
	}
	switch {
	case err != nil:
		return "", "", fmt.Errorf("table name %q: %w", s, err)
	case len(parts) == 1:
		return "public", parts[0], nil
	case len(parts) == 2:
		return parts[0], parts[1], nil
	}
	return "", "", fmt.Errorf("table name %q: want <table> or <schema>.<table>", s)
}

func identifiers(s string) ([]string, error) {
	var parts []string
	for {
		var part string
		var err error
		part, s, err = identifier(s)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
		if s == "" {
			return parts, nil
		}
		if s[0] != '.' {
			return nil, fmt.Errorf("%q after a name; quote names with special characters, as in \"my table\"", s[:1])
		}
		s = s[1:]
	}
}

func identifier(s string) (name, rest string, err error) {
	if strings.HasPrefix(s, `"`) {
		var b strings.Builder
		for i := 1; i < len(s); i++ {
			if s[i] != '"' {
				b.WriteByte(s[i])
				continue
			}
			if i+1 < len(s) && s[i+1] == '"' {
				b.WriteByte('"')
				i++
				continue
			}
			if b.Len() == 0 {
				return "", "", errors.New("an empty name")
			}
			return b.String(), s[i+1:], nil
		}
		return "", "", errors.New("a quote that is not closed")
	}
	n := strings.IndexFunc(s, func(r rune) bool {
		return r != '_' && r != '$' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && r < 0x80
	})
	if n < 0 {
		n = len(s)
	}
	if n == 0 {
		return "", "", errors.New("a name is missing")
	}
	return lower(s[:n]), s[n:], nil
}

func lower(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}
