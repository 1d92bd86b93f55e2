package predicate

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

const (
	daysPerMonth = 30
	// foreverMonths and foreverDays make an infinite interval, with the ends of int64 (Postgres 17 and later).
	foreverMonths, foreverDays = math.MaxInt32, math.MaxInt32
)

// intervalFromText parses what Postgres prints under IntervalStyle=postgres.
func intervalFromText(text []byte, d *datum) bool {
	switch string(text) {
	case "infinity":
		d.months, d.days, d.i = foreverMonths, foreverDays, infinity
		return true
	case "-infinity":
		d.months, d.days, d.i = math.MinInt32, math.MinInt32, minusInfinity
		return true
	}
	return parseInterval(string(text), d)
}

// intervalUnits maps the units of an interval to its months, days and microseconds.
var intervalUnits = map[string][3]int64{
	"year": {12}, "yr": {12}, "y": {12}, "month": {1}, "mon": {1}, "week": {0, 7}, "w": {0, 7}, "day": {0, 1}, "d": {0, 1},
	"hour": {0, 0, microsPerHour}, "hr": {0, 0, microsPerHour}, "h": {0, 0, microsPerHour},
	"minute": {0, 0, 60_000_000}, "min": {0, 0, 60_000_000}, "m": {0, 0, 60_000_000},
	"second": {0, 0, 1_000_000}, "sec": {0, 0, 1_000_000}, "s": {0, 0, 1_000_000},
	"millisecond": {0, 0, 1000}, "ms": {0, 0, 1000}, "microsecond": {0, 0, 1}, "us": {0, 0, 1},
}

// parseInterval reads whole numbers with units, in any order but each unit once, then a time: "1 year 2 mons -3 days
// 04:05:06.7", "90 minutes".
func parseInterval(text string, d *datum) bool {
	words := strings.Fields(strings.ToLower(text))
	if len(words) == 0 || len(words) > 20 {
		return false
	}
	var sums [3]int64
	seen := make(map[[3]int64]bool, 6)
	for i := 0; i < len(words); i++ {
		if strings.Contains(words[i], ":") {
			micros, ok := clockFromText(words[i])
			if !ok || i != len(words)-1 || sums[2] != 0 {
				return false
			}
			sums[2] = micros
			break
		}
		number, unit := splitUnit(words[i])
		if unit == "" && i+1 < len(words) {
			i++
			unit = words[i]
		}
		u, ok := intervalUnits[unit]
		if unit == "" && i == len(words)-1 {
			u, ok = intervalUnits["second"], true
		}
		if !ok && len(unit) >= len("yrs") {
			u, ok = intervalUnits[strings.TrimSuffix(unit, "s")]
		}
		n, err := strconv.ParseInt(number, 10, 32)
		if !ok || err != nil || seen[u] {
			return false
		}
		seen[u] = true
		for j := range sums {
			sums[j] += n * u[j]
		}
	}
	d.months, d.days, d.i = int32(sums[0]), int32(sums[1]), sums[2]
	return int64(d.months) == sums[0] && int64(d.days) == sums[1] && sums[2] < infinity/2 && sums[2] > minusInfinity/2
}

// splitUnit parts "3d" into number and unit.
func splitUnit(word string) (number, unit string) {
	i := strings.IndexFunc(word, func(r rune) bool { return (r < '0' || r > '9') && r != '+' && r != '-' })
	if i < 0 {
		return word, ""
	}
	return word[:i], word[i:]
}

// clockFromText parses [-]H…:MM[:SS[.ffffff]].
func clockFromText(text string) (micros int64, ok bool) {
	s := strings.TrimLeft(text, "+-")
	if len(text)-len(s) > 1 {
		return 0, false
	}
	p := scanner{s: []byte(s), ok: true}
	hours, _ := p.number(1, 10)
	p.expect(':')
	minutes, _ := p.number(2, 2)
	micros = int64(hours)*microsPerHour + int64(minutes)*60_000_000
	seconds := 0
	if p.accept(':') {
		seconds, _ = p.number(2, 2)
		micros += int64(seconds) * 1_000_000
		if p.accept('.') {
			n, digits := p.number(1, 6)
			for ; digits < 6; digits++ {
				n *= 10
			}
			micros += int64(n)
		}
	}
	if hours > 2_500_000_000 || minutes > 59 || seconds > 59 || !p.ok || p.i != len(s) {
		return 0, false
	}
	if text[0] == '-' {
		micros = -micros
	}
	return micros, true
}

// intervalText prints as Postgres does under IntervalStyle=postgres.
func intervalText(d *datum) string {
	switch {
	case d.i == infinity && d.months == foreverMonths:
		return "infinity"
	case d.i == minusInfinity && d.months == math.MinInt32:
		return "-infinity"
	}
	var b strings.Builder
	minus := false // the field before was negative, so a positive one gets its sign
	for _, f := range []struct {
		n    int32
		unit string
	}{{d.months / 12, "year"}, {d.months % 12, "mon"}, {d.days, "day"}} {
		if f.n == 0 {
			continue
		}
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		if minus && f.n > 0 {
			b.WriteByte('+')
		}
		fmt.Fprintf(&b, "%d %s", f.n, f.unit)
		if f.n != 1 {
			b.WriteByte('s')
		}
		minus = f.n < 0
	}
	if d.i != 0 || b.Len() == 0 {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		switch {
		case d.i < 0:
			b.WriteByte('-')
		case minus:
			b.WriteByte('+')
		}
		b.WriteString(clockText(magnitude(d.i)))
	}
	return b.String()
}

func clockText(micros uint64) string {
	seconds := micros / 1_000_000
	s := fmt.Sprintf("%02d:%02d:%02d", seconds/3600, seconds/60%60, seconds%60)
	if fraction := micros % 1_000_000; fraction != 0 {
		s += strings.TrimRight(fmt.Sprintf(".%06d", fraction), "0")
	}
	return s
}

// compareInterval orders by length, with months of 30 days.
func compareInterval(a, b *datum) int {
	x, xr := intervalLength(a)
	y, yr := intervalLength(b)
	if c := compareInt(x, y); c != 0 {
		return c
	}
	return compareInt(xr, yr)
}

// intervalLength returns whole days and microseconds, which are not negative.
func intervalLength(d *datum) (days, micros int64) {
	days, micros = int64(d.months)*daysPerMonth+int64(d.days)+d.i/microsPerDay, d.i%microsPerDay
	if micros < 0 {
		days, micros = days-1, micros+microsPerDay
	}
	return days, micros
}

// reachOf is how many years an interval can move a date, rounded up.
func reachOf(d *datum) int {
	const daysPerYear = 365
	return int(magnitude(int64(d.months))/12+magnitude(int64(d.days))/daysPerYear+magnitude(d.i)/(daysPerYear*microsPerDay)) + 1
}

// addInterval is timestamp + interval: months first, which may cut the day to the month's last, then days, then time.
func addInterval(micros int64, v *datum) int64 {
	if isInfinite(micros) {
		return micros
	}
	days := dayOfMicros(micros)
	rest := micros - days*microsPerDay
	if v.months != 0 {
		year, month, day := civil(days)
		month += int64(v.months) - 1
		year += month / 12
		if month %= 12; month < 0 {
			month += 12
			year--
		}
		month++
		parts := dateParts{year: int(year), month: int(month), day: int(min(day, int64(daysInMonth(int(year), int(month)))))}
		days = parts.days()
	}
	return (days+int64(v.days))*microsPerDay + rest + v.i
}

// dayOfMicros is the day that a timestamp is in.
func dayOfMicros(micros int64) int64 {
	if isInfinite(micros) {
		return micros
	}
	days := micros / microsPerDay
	if micros%microsPerDay < 0 {
		days--
	}
	return days
}

// justifyHours moves whole days out of the time, and gives both the same sign.
func justifyHours(d datum) datum {
	d.days += int32(d.i / microsPerDay)
	d.i %= microsPerDay
	return sameSignDays(d)
}

func sameSignDays(d datum) datum {
	switch {
	case d.days > 0 && d.i < 0:
		d.i += microsPerDay
		d.days--
	case d.days < 0 && d.i > 0:
		d.i -= microsPerDay
		d.days++
	}
	return d
}

// justifyDays moves whole months out of the days, and gives both the same sign.
func justifyDays(d datum) datum {
	d.months += d.days / daysPerMonth
	d.days %= daysPerMonth
	switch {
	case d.months > 0 && d.days < 0:
		d.days += daysPerMonth
		d.months--
	case d.months < 0 && d.days > 0:
		d.days -= daysPerMonth
		d.months++
	}
	return d
}

func justifyInterval(d datum) datum {
	d.days += int32(d.i / microsPerDay)
	d.i %= microsPerDay
	d.months += d.days / daysPerMonth
	d.days %= daysPerMonth
	switch {
	case d.months > 0 && (d.days < 0 || d.days == 0 && d.i < 0):
		d.days += daysPerMonth
		d.months--
	case d.months < 0 && (d.days > 0 || d.days == 0 && d.i > 0):
		d.days -= daysPerMonth
		d.months++
	}
	return sameSignDays(d)
}

// timeFromText parses a time of day; 24:00:00 is one.
func timeFromText(text []byte) (micros int64, ok bool) {
	if len(text) < 5 || text[0] < '0' || text[0] > '9' || text[2] != ':' {
		return 0, false
	}
	micros, ok = clockFromText(string(text))
	return micros, ok && micros <= microsPerDay
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}
