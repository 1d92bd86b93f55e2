package predicate

import "strconv"

// datum is the value of a scalar expression. Which fields count depends on the expression's kind, which is known when
// the clause is compiled. The bytes may alias the row.
type datum struct {
	null         bool
	months, days int32   // interval
	i            int64   // bool (0, 1), integers, days of a date, microseconds of everything else that is a time
	f            float64 // real and double precision
	b            []byte  // text, uuid, jsonb, an enum's label, and numeric in Postgres' text form
	a            *array
}

var nullDatum = datum{null: true}

// readDatum parses Postgres' text of a value. False means that the text is not of the kind, which a row from Postgres
// never has.
func readDatum(k kind, text []byte) (d datum, ok bool) {
	if k.isArray() {
		d.a, ok = arrayFromText(k.element(), text)
		return d, ok
	}
	switch k {
	case kindBool:
		d.i, ok = int64(len(text)), len(text) == 1 && (text[0] == 't' || text[0] == 'f')
		if ok && text[0] == 'f' {
			d.i = 0
		}
	case kindInt2, kindInt4, kindInt8:
		d.i, ok = parseInt(text)
	case kindFloat4, kindFloat8:
		var err error
		d.f, err = strconv.ParseFloat(string(text), floatBits(k))
		ok = err == nil
	case kindDate:
		d.i, ok = dateFromText(text)
	case kindTimestamp, kindTimestamptz:
		d.i, ok = timestampFromText(text)
	case kindTime:
		d.i, ok = timeFromText(text)
	case kindInterval:
		ok = intervalFromText(text, &d)
	case kindNumeric:
		var dec decimal
		d.b, ok = text, parseDecimal(text, &dec)
		// An exponent, which Postgres does not print, could make it larger than a numeric.
		ok = ok && dec.exp <= numericWholeDigits && len(dec.head)+len(dec.tail)-dec.exp <= numericScale
	default: // text and what is handled as text
		d.b, ok = text, true
	}
	return d, ok
}

// datumText prints a scalar as Postgres' output function does.
func datumText(k kind, d *datum) []byte {
	switch {
	case k.isInt():
		return strconv.AppendInt(nil, d.i, 10)
	case k == kindBool:
		if d.i != 0 {
			return []byte("t")
		}
		return []byte("f")
	case k.isFloat():
		return printFloat(k, d.f)
	case k.isTemporal():
		return temporalText(k, d)
	default: // what has its text
		return d.b
	}
}

// temporalText prints a date, timestamp, time or interval as Postgres does.
func temporalText(k kind, d *datum) []byte {
	switch {
	case k == kindInterval:
		return []byte(intervalText(d))
	case k == kindTime:
		return []byte(clockText(uint64(d.i)))
	case d.i == infinity:
		return []byte("infinity")
	case d.i == minusInfinity:
		return []byte("-infinity")
	case k == kindDate:
		return []byte(dateText(d.i))
	case k == kindTimestamptz:
		return []byte(timestampText(d.i, "+00"))
	default: // a timestamp
		return []byte(timestampText(d.i, ""))
	}
}
