package predicate

import (
	"bytes"
	"math"
	"strconv"
	"strings"
)

// constant is a typed literal. text is its canonical form, equal for equal values of a kind; it is what SQL() prints
// and, for the kinds whose text is unique, what Postgres prints for an equal column.
type constant struct {
	k    kind
	null bool
	text string
}

// space is what Postgres' input functions skip around a value.
const space = " \t\n\v\f\r"

// parseConstant reads the text of an untyped literal or a parameter as a value of kind k, as Postgres' input function
// would, minus the forms whose meaning depends on a setting or on the time. The error is an *inputError.
func parseConstant(k kind, text string) (constant, error) {
	c := constant{k: k}
	var err error
	switch {
	case k == kindBool:
		c.text, err = boolText(text)
	case k.isInt():
		c.text, err = intText(k, text)
	case k == kindNumeric:
		c.text, err = numericText(text)
	case k.isFloat():
		c.text, err = floatText(k, text)
	case k.isText():
		c.text = text
	case k == kindUUID:
		c.text, err = uuidText(text)
	case k.isTime():
		c.text, err = timeText(k, text)
	case k == kindTime, k == kindInterval:
		c.text, err = clockOrInterval(k, text)
	case k == kindJSONB:
		c.text, err = jsonText(text)
	case k.isArray():
		c.text, err = arrayConstant(k, text)
	default:
		err = badInput(k, text)
	}
	return c, err
}

// boolText accepts what boolin does: unique prefixes of true, false, yes, no, and on, off, 1, 0 in any case.
func boolText(text string) (string, error) {
	s := strings.ToLower(strings.Trim(text, space))
	switch {
	case s == "":
	case s == "on", s == "1", abbreviates(s, "true"), abbreviates(s, "yes"):
		return "t", nil
	case s == "of", s == "off", s == "0", abbreviates(s, "false"), abbreviates(s, "no"):
		return "f", nil
	}
	return "", badInput(kindBool, text)
}

func abbreviates(s, word string) bool { return strings.HasPrefix(word, s) }

func intText(k kind, text string) (string, error) {
	s := strings.Trim(text, space)
	digits := strings.TrimLeft(s, "+-")
	if len(s)-len(digits) > 1 || digits == "" || !allDigits([]byte(digits)) {
		return "", badInput(k, text)
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || !fitsInt(k, n) {
		return "", outOfRange(k, text)
	}
	return strconv.FormatInt(n, 10), nil
}

func fitsInt(k kind, n int64) bool {
	switch k {
	case kindInt2:
		return n == int64(int16(n))
	case kindInt4:
		return n == int64(int32(n))
	default: // bigint
		return true
	}
}

// Numeric's limits: digits before the point and after it.
const (
	numericWholeDigits = 131072
	numericScale       = 16383
)

func numericText(text string) (string, error) {
	s := strings.Trim(text, space)
	unsigned := strings.TrimLeft(s, "+-")
	signs := s[:len(s)-len(unsigned)]
	switch strings.ToLower(unsigned) {
	case "nan":
		s = "NaN" + signs // numeric has no signed NaN: with a sign it does not parse
	case "inf", "infinity":
		s = signs + "Infinity"
	}
	var d decimal
	if !parseDecimal([]byte(s), &d) {
		return "", badInput(kindNumeric, text)
	}
	if d.exp > numericWholeDigits || len(d.head)+len(d.tail)-d.exp > numericScale {
		return "", outOfRange(kindNumeric, text)
	}
	return d.canonical(), nil
}

func floatText(k kind, text string) (string, error) {
	s := strings.Trim(text, space)
	unsigned := strings.TrimLeft(s, "+-")
	switch strings.ToLower(unsigned) {
	case "nan", "inf", "infinity":
	default:
		var d decimal // keeps out the spellings that only ParseFloat knows: hex, underscores
		if !parseDecimal([]byte(s), &d) {
			return "", badInput(k, text)
		}
	}
	f, err := strconv.ParseFloat(s, floatBits(k))
	switch {
	case err == nil && f == 0 && strings.Trim(strings.SplitN(strings.ToLower(unsigned), "e", 2)[0], "0.") != "":
		return "", outOfRange(k, text) // underflow is an error in Postgres too
	case err != nil && math.IsInf(f, 0):
		return "", outOfRange(k, text)
	case err != nil:
		return "", badInput(k, text)
	}
	return formatFloat(k, f), nil
}

func floatBits(k kind) int {
	if k == kindFloat4 {
		return 32
	}
	return 64
}

func formatFloat(k kind, f float64) string {
	switch {
	case f == 0:
		return "0" // also for -0, which is equal
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return strconv.FormatFloat(f, 'g', -1, floatBits(k))
}

// uuidText accepts what uuid_in does: hex digits in either case, a hyphen after any group of four, braces around it all.
func uuidText(text string) (string, error) {
	s := text
	if strings.HasPrefix(s, "{") {
		if !strings.HasSuffix(s, "}") {
			return "", badInput(kindUUID, text)
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
			return "", badInput(kindUUID, text)
		}
		switch digits {
		case 8, 12, 16, 20:
			out = append(out, '-')
		}
		out = append(out, c)
		digits++
	}
	if digits != 32 {
		return "", badInput(kindUUID, text)
	}
	return string(out), nil
}

// timeText accepts ISO 8601 only: other orders of day and month depend on DateStyle, other zones on tables, and words
// such as now on the time.
func timeText(k kind, text string) (string, error) {
	s := strings.Trim(text, space)
	switch strings.ToLower(s) {
	case "infinity", "-infinity":
		return strings.ToLower(s), nil
	}
	var d dateParts
	if !parseDateParts([]byte(s), &d) {
		err := badInput(k, text)
		err.hint = "dates and times are written in ISO 8601: 2024-12-31, 2024-12-31 23:59:59.5, 2024-12-31T23:59:59+02:00, infinity"
		return "", err
	}
	switch {
	case k == kindDate && d.hasTime:
		return "", &inputError{message: "a date has no time of day: " + quoteShort(text), hint: "write the date only, or cast to timestamp"}
	case k == kindTimestamp && d.hasZone:
		return "", &inputError{message: "a timestamp without time zone has no zone: " + quoteShort(text), hint: "Postgres would ignore the zone; leave it out"}
	}
	days := d.days()
	if k == kindDate {
		if days < minDay || days >= endDay {
			return "", outOfRange(k, text)
		}
		return dateText(days), nil
	}
	micros, ok := d.timestamp()
	if !ok {
		return "", outOfRange(k, text)
	}
	zone := ""
	if k == kindTimestamptz {
		zone = "+00"
	}
	return timestampText(micros, zone), nil
}

// clockOrInterval accepts times of day and intervals.
func clockOrInterval(k kind, text string) (string, error) {
	s := strings.Trim(text, space)
	err := badInput(k, text)
	if k == kindTime {
		micros, ok := timeFromText([]byte(s))
		if err.hint = "times are written 23:59:59.5"; !ok {
			return "", err
		}
		return clockText(uint64(micros)), nil
	}
	var d datum
	if err.hint = "intervals are written 1 year 2 mons 3 days 04:05:06.7, with whole numbers before the units"; !parseInterval(s, &d) {
		return "", err
	}
	return intervalText(&d), nil
}

func trimBlanks(s []byte) []byte { return bytes.TrimRight(s, " ") }
