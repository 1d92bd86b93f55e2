package value

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Dates are days and timestamps microseconds since 2000-01-01, as in Postgres; the infinities are the ends of int64.
const (
	infinity       = math.MaxInt64
	minusInfinity  = math.MinInt64
	MicrosPerHour  = 3_600_000_000
	MicrosPerDay   = 86_400_000_000
	minDay         = -2451545   // 4714-11-24 BC
	endDay         = 2145031949 // one past 5874897-12-31
	minMicros      = -211813488000000000
	endMicros      = 9223371331200000000 // 294277-01-01
	endMicrosInDay = endMicros / MicrosPerDay

	daysBeforeEpoch = 730425 // from 0000-03-01, where leap years are simplest to count
)

// dateParts is a date and time as written. offset is seconds east of UTC.
type dateParts struct {
	year, month, day int // year is astronomical: 1 BC is 0
	micros           int64
	offset           int64
	hasTime, hasZone bool
}

// scanner walks a short ASCII text; ok turns false at the first thing that does not fit.
type scanner struct {
	s  []byte
	i  int
	ok bool
}

func (p *scanner) number(least, most int) (n, digits int) {
	for digits < most && p.i < len(p.s) && p.s[p.i] >= '0' && p.s[p.i] <= '9' {
		n = n*10 + int(p.s[p.i]-'0')
		p.i++
		digits++
	}
	if digits < least {
		p.ok = false
	}
	return n, digits
}

func (p *scanner) peek(c byte) bool { return p.i < len(p.s) && p.s[p.i] == c }

func (p *scanner) accept(c byte) bool {
	if p.peek(c) {
		p.i++
		return true
	}
	return false
}

func (p *scanner) expect(c byte) {
	if !p.accept(c) {
		p.ok = false
	}
}

// maxFraction bounds the digits of a fraction of a second. Other systems write nanoseconds.
const maxFraction = 30

// fraction reads the fraction of a second, if there is one, in microseconds, rounded as Postgres rounds it.
func (p *scanner) fraction() int64 {
	from := p.i
	if !p.accept('.') {
		return 0
	}
	n, digits := p.number(1, 6)
	for ; digits < 6; digits++ {
		n *= 10
	}
	if _, more := p.number(0, maxFraction-6); more == 0 {
		return int64(n)
	}
	seconds, _ := strconv.ParseFloat(string(p.s[from:p.i]), 64)
	return int64(math.RoundToEven(seconds * 1_000_000))
}

// parseDateParts reads ISO 8601 and what Postgres prints under DateStyle=ISO:
// YYYY-MM-DD[( |T)HH:MM[:SS[.ffffff]][Z|±HH[[:]MM[:SS]]]][ BC].
func parseDateParts(s []byte, d *dateParts) bool {
	*d = dateParts{}
	p := scanner{s: s, ok: true}
	d.year, _ = p.number(4, 7)
	p.expect('-')
	d.month, _ = p.number(2, 2)
	p.expect('-')
	d.day, _ = p.number(2, 2)
	if !p.ok {
		return false
	}
	if p.i+1 < len(s) && (s[p.i] == 'T' || s[p.i] == 't' || s[p.i] == ' ') && s[p.i+1] >= '0' && s[p.i+1] <= '9' {
		p.i++
		d.hasTime = true
		d.time(&p)
	}
	if p.i+3 == len(s) && s[p.i] == ' ' && (s[p.i+1] == 'B' || s[p.i+1] == 'b') && (s[p.i+2] == 'C' || s[p.i+2] == 'c') {
		p.i += 3
		if d.year == 0 {
			return false
		}
		d.year = 1 - d.year
	} else if d.year == 0 {
		return false // there is no year 0
	}
	return p.ok && p.i == len(s) && d.month >= 1 && d.month <= 12 && d.day >= 1 && d.day <= daysInMonth(d.year, d.month)
}

func (d *dateParts) time(p *scanner) {
	hour, _ := p.number(2, 2)
	p.expect(':')
	minute, _ := p.number(2, 2)
	second, micros := 0, int64(0)
	if p.accept(':') {
		second, _ = p.number(2, 2)
		micros = p.fraction()
	}
	if hour > 23 || minute > 59 || second > 59 {
		p.ok = false
	}
	d.micros = int64(hour*3600+minute*60+second)*1_000_000 + micros
	switch {
	case p.accept('Z'), p.accept('z'):
		d.hasZone = true
	case p.peek('+'), p.peek('-'):
		d.hasZone = true
		d.zone(p)
	}
}

func (d *dateParts) zone(p *scanner) {
	west := p.s[p.i] == '-'
	p.i++
	hour, _ := p.number(2, 2)
	minute, second := 0, 0
	if p.accept(':') {
		minute, _ = p.number(2, 2)
		if p.accept(':') {
			second, _ = p.number(2, 2)
		}
	} else if p.i < len(p.s) && p.s[p.i] >= '0' && p.s[p.i] <= '9' {
		minute, _ = p.number(2, 2)
	}
	if hour > 15 || minute > 59 || second > 59 {
		p.ok = false
	}
	d.offset = int64(hour*3600 + minute*60 + second)
	if west {
		d.offset = -d.offset
	}
}

func daysInMonth(year, month int) int {
	switch month {
	case 4, 6, 9, 11:
		return 30
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

// days returns the day number of the date, by the usual count from 0000-03-01 in 400-year eras.
func (d *dateParts) days() int64 {
	y := int64(d.year)
	if d.month <= 2 {
		y--
	}
	era := y / 400
	if y < 0 {
		era = (y - 399) / 400
	}
	yearOfEra := y - era*400
	month := int64((d.month + 9) % 12)
	dayOfYear := (153*month+2)/5 + int64(d.day) - 1
	return era*146097 + yearOfEra*365 + yearOfEra/4 - yearOfEra/100 + dayOfYear - daysBeforeEpoch
}

// dateFromText parses a date column or constant into days; ok is false if it is not one.
func dateFromText(s []byte) (days int64, ok bool) {
	if v, is := infinityFromText(s); is {
		return v, true
	}
	var d dateParts
	if !parseDateParts(s, &d) || d.hasTime {
		return 0, false
	}
	days = d.days()
	return days, days >= minDay && days < endDay
}

// timestampFromText parses a timestamp or timestamptz into microseconds (UTC if the text has a zone).
func timestampFromText(s []byte) (micros int64, ok bool) {
	if v, is := infinityFromText(s); is {
		return v, true
	}
	var d dateParts
	if !parseDateParts(s, &d) {
		return 0, false
	}
	return d.timestamp()
}

func (d *dateParts) timestamp() (micros int64, ok bool) {
	days := d.days()
	if days < minDay-1 || days > endMicrosInDay { // one day of slack for the offset; also keeps the product in range
		return 0, false
	}
	micros = days*MicrosPerDay + d.micros - d.offset*1_000_000
	return micros, micros >= minMicros && micros < endMicros
}

func infinityFromText(s []byte) (v int64, ok bool) {
	switch string(s) {
	case "infinity":
		return infinity, true
	case "-infinity":
		return minusInfinity, true
	}
	return 0, false
}

// dayToMicros turns a date into a timestamp for comparison. A date above the range of timestamps is greater than any
// finite timestamp and less than infinity, as in Postgres.
func dayToMicros(days int64) int64 {
	switch {
	case days == infinity || days == minusInfinity:
		return days
	case days >= endMicrosInDay:
		return infinity - 1
	}
	return days * MicrosPerDay
}

// dateText prints days as Postgres does.
func dateText(days int64) string {
	year, month, day := civil(days)
	return formatDate(year, month, day) + bcSuffix(year)
}

// timestampText prints microseconds as Postgres does, with zone after the time.
func timestampText(micros int64, zone string) string {
	days := micros / MicrosPerDay
	rest := micros % MicrosPerDay
	if rest < 0 {
		rest += MicrosPerDay
		days--
	}
	year, month, day := civil(days)
	seconds := rest / 1_000_000
	s := formatDate(year, month, day) + fmt.Sprintf(" %02d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
	if fraction := rest % 1_000_000; fraction != 0 {
		s += strings.TrimRight(fmt.Sprintf(".%06d", fraction), "0")
	}
	return s + zone + bcSuffix(year)
}

func formatDate(year, month, day int64) string {
	if year <= 0 {
		year = 1 - year
	}
	return fmt.Sprintf("%04d-%02d-%02d", year, month, day)
}

func bcSuffix(year int64) string {
	if year <= 0 {
		return " BC"
	}
	return ""
}

// civil is the inverse of dateParts.days.
func civil(days int64) (year, month, day int64) {
	z := days + daysBeforeEpoch
	era := z / 146097
	if z < 0 {
		era = (z - 146096) / 146097
	}
	dayOfEra := z - era*146097
	yearOfEra := (dayOfEra - dayOfEra/1460 + dayOfEra/36524 - dayOfEra/146096) / 365
	dayOfYear := dayOfEra - (365*yearOfEra + yearOfEra/4 - yearOfEra/100)
	shifted := (5*dayOfYear + 2) / 153
	year, month, day = yearOfEra+era*400, shifted+3, dayOfYear-(153*shifted+2)/5+1
	if month > 12 {
		month -= 12
		year++
	}
	return year, month, day
}

// IsInfinite reports whether a date or timestamp is one of the infinities.
func IsInfinite(i int64) bool { return i == infinity || i == minusInfinity }
