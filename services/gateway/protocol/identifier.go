package protocol

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxName is Postgres' limit of a name, in characters as the protocol has it.
const maxName = 63

// Table reads a table's name as SQL writes it. Without a schema it is public.
func Table(s string) (schema, name string, err error) {
	parts, err := split(s, '.')
	if err != nil {
		return "", "", err
	}
	if len(parts) > 2 {
		return "", "", fmt.Errorf("Invalid relation identifier, too many delimiters: %s", s)
	}
	for i, p := range parts {
		if parts[i], err = identifier(p); err != nil {
			return "", "", err
		}
	}
	if len(parts) == 1 {
		return "public", parts[0], nil
	}
	return parts[0], parts[1], nil
}

// Columns reads a list of names as SQL writes them, separated by commas.
func Columns(s string) ([]string, error) {
	parts, err := split(s, ',')
	if err != nil {
		return nil, err
	}
	for i, p := range parts {
		if parts[i], err = identifier(p); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// split cuts at separators outside of quotes.
func split(s string, separator byte) ([]string, error) {
	var parts []string
	quoted, from := false, 0
	for i := range len(s) {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == separator && !quoted:
			parts = append(parts, s[from:i])
			from = i + 1
		}
	}
	if quoted {
		return nil, fmt.Errorf("Invalid identifier with unescaped quote: %s", s)
	}
	return append(parts, s[from:]), nil
}

// identifier reads one name.
//
//nolint:staticcheck // the texts are the protocol's own
func identifier(s string) (string, error) {
	if !utf8.ValidString(s) || strings.ContainsRune(s, 0) {
		return "", errors.New("Invalid unquoted identifier contains special characters: not UTF-8 text")
	}
	var name string
	if strings.HasPrefix(s, `"`) {
		if len(s) < 2 || !strings.HasSuffix(s, `"`) {
			return "", fmt.Errorf("Invalid identifier with unescaped quote: %s", s)
		}
		name = s[1 : len(s)-1]
		if strings.Contains(strings.ReplaceAll(name, `""`, ""), `"`) {
			return "", fmt.Errorf("Invalid identifier with unescaped quote: %s", s)
		}
		name = strings.ReplaceAll(name, `""`, `"`)
	} else {
		for i, r := range s {
			letter := r == '_' || unicode.IsLetter(r)
			if letter || i > 0 && (r == '$' || unicode.IsDigit(r) || unicode.IsMark(r)) {
				continue
			}
			return "", fmt.Errorf("Invalid unquoted identifier contains special characters: %s", s)
		}
		name = strings.Map(func(r rune) rune {
			if 'A' <= r && r <= 'Z' {
				return r + 'a' - 'A'
			}
			return r
		}, s)
	}
	switch {
	case name == "":
		return "", errors.New("Invalid zero-length delimited identifier")
	case utf8.RuneCountInString(name) > maxName:
		return "", errors.New("Identifier is too long (max length is 63)")
	}
	return name, nil
}

// Quote writes a name as SQL does, always in quotes.
func Quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
