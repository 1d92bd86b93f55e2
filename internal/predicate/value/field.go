package value

import (
	"fmt"
	"math"
)

// Fields of dates and times, as extract() and date_part() name them.
const (
	Microseconds = "microseconds"
	Milliseconds = "milliseconds"
	Second       = "second"
	Minute       = "minute"
	Hour         = "hour"
	Day          = "day"
	Week         = "week"
	Month        = "month"
	Quarter      = "quarter"
	Year         = "year"
	Decade       = "decade"
	Century      = "century"
	Millennium   = "millennium"
	ISOYear      = "isoyear"
	DayOfWeek    = "dow"
	ISODayOfWeek = "isodow"
	DayOfYear    = "doy"
	Epoch        = "epoch"
)

const (
	microsPerSecond = 1_000_000
	unixEpochDay    = -10957 // 1970-01-01
	monthsPerYear   = 12
)

// FieldOf is a field of a date, time, timestamp or interval as a whole number of units of 10^-FieldScale. ok is false if
// the kind has no such field. A field of an infinite date is not asked for. The epoch of a late timestamp is above the int64s and
// comes as a uint64 would, which FieldText and FieldFloat know.
func FieldOf(k Kind, field string, d *Datum) (n int64, ok bool) {
	switch k {
	case Date:
		if field == Epoch {
			return (d.Int - unixEpochDay) * (MicrosPerDay / microsPerSecond), true
		}
		return dayField(field, d.Int)
	case Timestamp:
		if field == Epoch {
			return d.Int - unixEpochDay*MicrosPerDay, true
		}
		days := dayOfMicros(d.Int)
		if n, ok = clockField(field, d.Int-days*MicrosPerDay); ok {
			return n, true
		}
		return dayField(field, days)
	case Timestamptz: // its other fields depend on the time zone
		return d.Int - unixEpochDay*MicrosPerDay, field == Epoch
	case Time:
		if field == Epoch {
			return d.Int, true
		}
		return clockField(field, d.Int)
	case Interval:
		return intervalField(field, d)
	default: // not a time
		return 0, false
	}
}

// FieldScale is how many digits a field has after the point.
func FieldScale(k Kind, field string) int {
	switch {
	case field == Second, field == Epoch && k != Date:
		return 6
	case field == Milliseconds:
		return 3
	}
	return 0
}

// FieldGrows tells fields that are infinite of an infinite date; the others are NULL.
func FieldGrows(field string) bool {
	switch field {
	case Year, Decade, Century, Millennium, ISOYear, Epoch:
		return true
	}
	return false
}

func clockField(field string, micros int64) (int64, bool) {
	seconds := micros / microsPerSecond
	switch field {
	case Hour:
		return seconds / 3600, true
	case Minute:
		return seconds / 60 % 60, true
	case Second, Milliseconds, Microseconds: // as many microseconds, of different scales
		return micros % (60 * microsPerSecond), true
	}
	return 0, false
}

func dayField(field string, days int64) (int64, bool) {
	year, month, day := civil(days)
	switch field {
	case Day:
		return day, true
	case Month:
		return month, true
	case Quarter:
		return (month-1)/3 + 1, true
	case Year:
		return withoutYearZero(year), true
	case DayOfYear:
		return days - firstOf(year, 1) + 1, true
	case DayOfWeek:
		return isoDay(days) % 7, true
	case ISODayOfWeek:
		return isoDay(days), true
	case Week, ISOYear:
		thursday := days - isoDay(days) + 4 // a week belongs to the year of its Thursday
		isoYear, _, _ := civil(thursday)
		if field == ISOYear {
			return withoutYearZero(isoYear), true
		}
		return (thursday-firstOf(isoYear, 1))/7 + 1, true
	case Decade:
		return floorDiv(year, 10), true
	case Century:
		return period(year, 100), true
	case Millennium:
		return period(year, 1000), true
	}
	return 0, false
}

// period numbers periods of so many years, of which the first begins with year 1, and none is 0.
func period(year, length int64) int64 {
	if year > 0 {
		return (year + length - 1) / length
	}
	return -((length - year) / length)
}

// withoutYearZero makes the year before 1 be -1.
func withoutYearZero(year int64) int64 {
	if year <= 0 {
		return year - 1
	}
	return year
}

func floorDiv(n, d int64) int64 {
	q := n / d
	if n%d < 0 {
		q--
	}
	return q
}

// isoDay is 1 for Monday to 7 for Sunday. Day 0 is a Saturday.
func isoDay(days int64) int64 { return ((days+5)%7+7)%7 + 1 }

func firstOf(year, month int64) int64 {
	return (&dateParts{year: int(year), month: int(month), day: 1}).days()
}

func intervalField(field string, d *Datum) (int64, bool) {
	year := int64(d.Months / monthsPerYear)
	switch field {
	case Year:
		return year, true
	case Month:
		return int64(d.Months % monthsPerYear), true
	case Day:
		return int64(d.Days), true
	case Decade:
		return year / 10, true
	case Century:
		return year / 100, true
	case Millennium:
		return year / 1000, true
	case Epoch: // a year has 365.25 days there, and a month 30
		quarters := 4*365*year + year + 4*daysPerMonth*int64(d.Months%monthsPerYear) + 4*int64(d.Days)
		return quarters*(MicrosPerDay/4) + d.Int, true
	}
	return clockField(field, d.Int)
}

// late reports whether the epoch of a timestamp is above the int64s, as in the last 30 years that a timestamp may have.
func late(k Kind, field string, d *Datum) bool {
	return field == Epoch && (k == Timestamp || k == Timestamptz) && d.Int >= math.MaxInt64+unixEpochDay*MicrosPerDay
}

// FieldText is the field n of d as a numeric.
func FieldText(k Kind, field string, n int64, d *Datum) []byte {
	scale := FieldScale(k, field)
	if scale == 0 {
		return fmt.Appendf(nil, "%d", n)
	}
	sign, m := "", Magnitude(n)
	switch {
	case late(k, field, d):
		m = (uint64(n) + 50) / 100 * 100 // Postgres divides there, to 4 digits behind the point
	case n < 0:
		sign = "-"
	}
	unit := uint64(microsPerSecond)
	if scale == 3 {
		unit = 1000
	}
	return fmt.Appendf(nil, "%s%d.%0*d", sign, m/unit, scale, m%unit)
}

// FieldFloat is the field n of d as a double precision, computed in the steps that Postgres takes.
func FieldFloat(k Kind, field string, n int64, d *Datum) float64 {
	switch {
	case field == Second:
		return float64(n/microsPerSecond) + float64(n%microsPerSecond)/1_000_000
	case field == Milliseconds:
		return float64(n/microsPerSecond)*1000 + float64(n%microsPerSecond)/1000
	case field != Epoch:
		return float64(n)
	case k == Interval:
		const day = 86400
		f := float64(d.Int) / 1_000_000
		f += 365.25 * day * float64(d.Months/monthsPerYear)
		f += daysPerMonth * day * float64(d.Months%monthsPerYear)
		return f + day*float64(d.Days)
	case late(k, field, d):
		return (float64(d.Int) - unixEpochDay*MicrosPerDay) / 1_000_000
	}
	return float64(n) / 1_000_000
}

// TruncatedTimestamp is date_trunc() of a finite timestamp; ok is false if there is no such field.
func TruncatedTimestamp(field string, micros int64) (int64, bool) {
	days := dayOfMicros(micros)
	year, month, _ := civil(days)
	clock := micros - days*MicrosPerDay
	switch field {
	case Microseconds:
		return micros, true
	case Milliseconds:
		return micros - clock%1000, true
	case Second:
		return micros - clock%microsPerSecond, true
	case Minute:
		return micros - clock%(60*microsPerSecond), true
	case Hour:
		return micros - clock%MicrosPerHour, true
	case Day:
	case Week:
		days -= isoDay(days) - 1
	case Month:
		days = firstOf(year, month)
	case Quarter:
		days = firstOf(year, (month-1)/3*3+1)
	case Year:
		days = firstOf(year, 1)
	default:
		return 0, false
	}
	return days * MicrosPerDay, true
}
