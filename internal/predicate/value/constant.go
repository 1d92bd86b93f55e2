package value

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Constant is a typed literal. text is its canonical form, equal for equal values of a kind; it is what SQL() prints
// and, for the kinds whose text is unique, what Postgres prints for an equal column.
type Constant struct {
	Kind Kind
	Null bool
	Text string
}

// Space is what Postgres' input functions skip around a value.
const Space = " \t\n\v\f\r"

// ParseConstant reads the text of an untyped literal or a parameter as a value of kind k, as Postgres' input function
// would, minus the forms whose meaning depends on a setting or on the time. The error is an *InputError.
func ParseConstant(k Kind, text string) (Constant, error) {
	c := Constant{Kind: k}
	var err error
	switch {
	case k == Bool:
		c.Text, err = boolText(text)
	case k.IsInt():
		c.Text, err = intText(k, text)
	case k == Numeric:
		c.Text, err = numericText(text)
	case k.IsFloat():
		c.Text, err = floatText(k, text)
	case k.IsText():
		c.Text = text
	case k == UUID:
		c.Text, err = uuidText(text)
	case k.IsTime():
		c.Text, err = timeText(k, text)
	case k == Time, k == Interval:
		c.Text, err = clockOrInterval(k, text)
	case k == JSONB:
		c.Text, err = jsonText(text)
	case k.IsArray():
		c.Text, err = arrayConstant(k, text)
	case k == OID:
		c.Text, err = oidText(text)
	case k == Name:
		c.Text = nameText(text)
	case k.isBytes(), k.IsNetwork():
		c.Text, err = bytesText(k, text)
	case k.IsRange():
		c.Text, err = rangeText(k, text)
	default:
		err = badInput(k, text)
	}
	return c, err
}

// boolText accepts what boolin does: unique prefixes of true, false, yes, no, and on, off, 1, 0 in any case.
func boolText(text string) (string, error) {
	s := strings.ToLower(strings.Trim(text, Space))
	switch {
	case s == "":
	case s == "on", s == "1", abbreviates(s, "true"), abbreviates(s, "yes"):
		return "t", nil
	case s == "of", s == "off", s == "0", abbreviates(s, "false"), abbreviates(s, "no"):
		return "f", nil
	}
	return "", badInput(Bool, text)
}

func abbreviates(s, word string) bool { return strings.HasPrefix(word, s) }

func intText(k Kind, text string) (string, error) {
	s := strings.Trim(text, Space)
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 || digits == "" || !allDigits([]byte(digits)) {
		return "", badInput(k, text)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || !FitsInt(k, n) {
		return "", OutOfRange(k, text)
	}
	return strconv.FormatInt(n, 10), nil
}

// FitsInt reports whether an integer type holds n.
func FitsInt(k Kind, n int64) bool {
	switch k {
	case Int2:
		return n == int64(int16(n))
	case Int4:
		return n == int64(int32(n))
	default: // bigint
		return true
	}
}

// Numeric's limits: digits before the point and after it.
const (
	NumericWholeDigits = 131072
	NumericScale       = 16383
)

func numericText(text string) (string, error) {
	s := strings.Trim(text, Space)
	unsigned := strings.TrimLeft(s, "+-")
	signs := s[:len(s)-len(unsigned)]
	switch strings.ToLower(unsigned) {
	case "nan":
		s = "NaN" + signs // numeric has no signed NaN: with a sign it does not parse
	case "inf", "infinity":
		s = signs + "Infinity"
	}
	var d Decimal
	if !ParseDecimal([]byte(s), &d) {
		return "", badInput(Numeric, text)
	}
	if d.Exp > NumericWholeDigits || writtenScale(s) > NumericScale {
		return "", OutOfRange(Numeric, text)
	}
	return d.canonical(), nil
}

// writtenScale is how many digits a number that ParseDecimal takes has behind the point as it is written, zeros too, which Postgres keeps.
func writtenScale(s string) int {
	number, exponent := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		exponent, _ = strconv.Atoi(s[i+1:]) // it has been read
		number = s[:i]
	}
	_, fraction, _ := strings.Cut(number, ".")
	return len(fraction) - exponent
}

func floatText(k Kind, text string) (string, error) {
	s := strings.Trim(text, Space)
	unsigned := strings.TrimLeft(s, "+-")
	switch strings.ToLower(unsigned) {
	case "nan", "inf", "infinity":
	default:
		var d Decimal // keeps out the spellings that only ParseFloat knows: hex, underscores
		if !ParseDecimal([]byte(s), &d) {
			return "", badInput(k, text)
		}
	}
	f, err := strconv.ParseFloat(s, FloatBits(k))
	switch {
	case err == nil && f == 0 && strings.Trim(strings.SplitN(strings.ToLower(unsigned), "e", 2)[0], "0.") != "":
		return "", OutOfRange(k, text) // underflow is an error in Postgres too
	case err != nil && math.IsInf(f, 0):
		return "", OutOfRange(k, text)
	case err != nil:
		return "", badInput(k, text)
	}
	return FormatFloat(k, f), nil
}

// FloatBits is the size of a floating point type.
func FloatBits(k Kind) int {
	if k == Float4 {
		return 32
	}
	return 64
}

// FormatFloat prints a float in its canonical form, as a constant.
func FormatFloat(k Kind, f float64) string {
	switch {
	case f == 0:
		return "0" // also for -0, which is equal
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return strconv.FormatFloat(f, 'g', -1, FloatBits(k))
}

// uuidText accepts what uuid_in does: hex digits in either case, a hyphen after any group of four, braces around it all.
func uuidText(text string) (string, error) {
	s := text
	if strings.HasPrefix(s, "{") {
		if !strings.HasSuffix(s, "}") {
			return "", badInput(UUID, text)
		}
		s = s[1 : len(s)-1]
	}
	out := make([]byte, 0, 36)
	digits := 0
	for i := range len(s) {
		c := s[i]
		if c == '-' && digits > 0 && digits < 32 && digits%4 == 0 && s[i-1] != '-' {
			continue
		}
		if c >= 'A' && c <= 'F' {
			c += 'a' - 'A'
		}
		if c < '0' || c > '9' && c < 'a' || c > 'f' || digits == 32 {
			return "", badInput(UUID, text)
		}
		switch digits {
		case 8, 12, 16, 20:
			out = append(out, '-')
		}
		out = append(out, c)
		digits++
	}
	if digits != 32 {
		return "", badInput(UUID, text)
	}
	return string(out), nil
}

// timeText accepts ISO 8601 only: other orders of day and month depend on DateStyle, other zones on tables, and words
// such as now on the time. As in Postgres a date drops the time of day, and neither it nor a timestamp heeds the zone; one
// that is not UTC is refused, since whoever writes it means it.
func timeText(k Kind, text string) (string, error) {
	s := strings.Trim(text, Space)
	switch strings.ToLower(s) {
	case "infinity", "-infinity":
		return strings.ToLower(s), nil
	}
	var d dateParts
	if !parseDateParts([]byte(s), &d) {
		err := badInput(k, text)
		err.Hint = "dates and times are written in ISO 8601: 2024-12-31, 2024-12-31 23:59:59.5, 2024-12-31T23:59:59+02:00, infinity"
		return "", err
	}
	if k != Timestamptz && d.offset != 0 {
		return "", &InputError{
			Message: fmt.Sprintf("a %s has no zone but UTC: %s", k, QuoteShort(text)),
			Hint:    "Postgres would ignore the zone and take the time as it is written; leave it out, or write the time in UTC",
		}
	}
	days := d.days()
	if k == Date {
		if days < minDay || days >= endDay {
			return "", OutOfRange(k, text)
		}
		return dateText(days), nil
	}
	micros, ok := d.timestamp()
	if !ok {
		return "", OutOfRange(k, text)
	}
	zone := ""
	if k == Timestamptz {
		zone = "+00"
	}
	return timestampText(micros, zone), nil
}

// clockOrInterval accepts times of day and intervals.
func clockOrInterval(k Kind, text string) (string, error) {
	s := strings.Trim(text, Space)
	err := badInput(k, text)
	if k == Time {
		micros, ok := timeFromText([]byte(s))
		if err.Hint = "times are written 23:59:59.5"; !ok {
			return "", err
		}
		return clockText(uint64(micros)), nil
	}
	var d Datum
	if err.Hint = "intervals are written 1 year 2 mons 3 days 04:05:06.7, with whole numbers before the units"; !parseInterval(s, &d) {
		return "", err
	}
	return intervalText(&d), nil
}

// TrimBlanks drops the padding of char(n).
func TrimBlanks(s []byte) []byte { return bytes.TrimRight(s, " ") }
