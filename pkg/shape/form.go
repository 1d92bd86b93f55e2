package shape

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxName is how many bytes a name has at most in Postgres.
const MaxName = 63

// MaxColumns is how many columns a table has at most in Postgres.
const MaxColumns = 1600

// CheckName says why s cannot be the name of anything in Postgres. What passes can be asked for; it
// need not be there.
func CheckName(s string) error {
	switch {
	case s == "":
		return errors.New("a name is missing")
	case len(s) > MaxName:
		return fmt.Errorf("a name of %d bytes; Postgres has none of more than %d bytes", len(s), MaxName)
	case strings.IndexByte(s, 0) >= 0:
		return errors.New("a name with a zero byte; Postgres has none")
	case !utf8.ValidString(s):
		return errors.New("a name that is not valid UTF-8")
	}
	return nil
}

const (
	idLen     = 16 // hex digits of Definition.ID
	maxNumber = 13 // digits of a number of 64 bits in base 36
	base36    = 36
)

// IsID reports whether s has the form of an id; see Definition.ID.
func IsID(s string) bool {
	if len(s) != idLen {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// IsHandle reports whether s has the form of a handle; see NewHandle. Such a text can stand in a subject.
func IsHandle(s string) bool {
	if len(s) < idLen+2 || len(s) > idLen+1+maxNumber || !IsID(s[:idLen]) || s[idLen] != '-' {
		return false
	}
	for i := idLen + 1; i < len(s); i++ {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	_, err := strconv.ParseUint(s[idLen+1:], base36, 64)
	return err == nil
}

// IDOfHandle returns the id in a handle. s has that form.
func IDOfHandle(s string) string { return s[:idLen] }
