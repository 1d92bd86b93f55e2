package value

import "strconv"

// Datum is the value of a scalar expression. Which fields count depends on the expression's kind, which is known when
// the clause is compiled. The bytes may alias the row.
type Datum struct {
	Null         bool
	Months, Days int32   // interval
	Int          int64   // bool (0, 1), integers, days of a date, microseconds of everything else that is a time
	Float        float64 // real and double precision
	Bytes        []byte  // everything else, in Postgres' text form
	Array        *Array
}

// Null is the NULL of every kind.
var Null = Datum{Null: true}

// ReadDatum parses Postgres' text of a value. False means that the text is not of the kind, which a row from Postgres
// never has.
func ReadDatum(k Kind, text []byte) (d Datum, ok bool) {
	if k.IsArray() {
		d.Array, ok = ArrayFromText(k.Element(), text)
		return d, ok
	}
	switch k {
	case Bool:
		d.Int, ok = int64(len(text)), len(text) == 1 && (text[0] == 't' || text[0] == 'f')
		if ok && text[0] == 'f' {
			d.Int = 0
		}
	case Int2, Int4, Int8, OID:
		d.Int, ok = parseInt(text)
	case Float4, Float8:
		var err error
		d.Float, err = strconv.ParseFloat(string(text), FloatBits(k))
		ok = err == nil
	case Date:
		d.Int, ok = dateFromText(text)
	case Timestamp, Timestamptz:
		d.Int, ok = timestampFromText(text)
	case Time:
		d.Int, ok = timeFromText(text)
	case Interval:
		ok = intervalFromText(text, &d)
	case Numeric:
		var dec Decimal
		d.Bytes, ok = text, ParseDecimal(text, &dec)
		// An exponent, which Postgres does not print, could make it larger than a numeric.
		ok = ok && dec.Exp <= NumericWholeDigits && len(dec.Head)+len(dec.Tail)-dec.Exp <= NumericScale
	default: // text and what is handled as text
		d.Bytes, ok = text, true
	}
	return d, ok
}

// TextOf prints a scalar as Postgres' output function does.
func TextOf(k Kind, d *Datum) []byte {
	switch {
	case k.IsInt(), k == OID:
		return strconv.AppendInt(nil, d.Int, 10)
	case k == Bool:
		if d.Int != 0 {
			return []byte("t")
		}
		return []byte("f")
	case k.IsFloat():
		return printFloat(k, d.Float)
	case k.IsTemporal():
		return temporalText(k, d)
	default: // what has its text
		return d.Bytes
	}
}

// temporalText prints a date, timestamp, time or interval as Postgres does.
func temporalText(k Kind, d *Datum) []byte {
	switch {
	case k == Interval:
		return []byte(intervalText(d))
	case k == Time:
		return []byte(clockText(uint64(d.Int)))
	case d.Int == infinity:
		return []byte("infinity")
	case d.Int == minusInfinity:
		return []byte("-infinity")
	case k == Date:
		return []byte(dateText(d.Int))
	case k == Timestamptz:
		return []byte(timestampText(d.Int, "+00"))
	default: // a timestamp
		return []byte(timestampText(d.Int, ""))
	}
}
