package value

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
func intervalFromText(text []byte, d *Datum) bool {
	switch string(text) {
	case "infinity":
		d.Months, d.Days, d.Int = foreverMonths, foreverDays, infinity
		return true
	case "-infinity":
		d.Months, d.Days, d.Int = math.MinInt32, math.MinInt32, minusInfinity
		return true
	}
	return parseInterval(string(text), d)
}

// intervalUnits maps the units of an interval to its months, days and microseconds.
var intervalUnits = map[string][3]int64{
	"year": {12}, "yr": {12}, "y": {12}, "month": {1}, "mon": {1}, "week": {0, 7}, "w": {0, 7}, "day": {0, 1}, "d": {0, 1},
	"hour": {0, 0, MicrosPerHour}, "hr": {0, 0, MicrosPerHour}, "h": {0, 0, MicrosPerHour},
	"minute": {0, 0, 60_000_000}, "min": {0, 0, 60_000_000}, "m": {0, 0, 60_000_000},
	"second": {0, 0, 1_000_000}, "sec": {0, 0, 1_000_000}, "s": {0, 0, 1_000_000},
	"millisecond": {0, 0, 1000}, "ms": {0, 0, 1000}, "microsecond": {0, 0, 1}, "us": {0, 0, 1},
}

// parseInterval reads whole numbers with units, in any order but each unit once, then a time: "1 year 2 mons -3 days
// 04:05:06.7", "90 minutes".
func parseInterval(text string, d *Datum) bool {
	words := strings.Fields(strings.ToLower(text))
	if len(words) == 0 || len(words) > 20 {
		return false
	}
	var sums [3]int64
	seen := make(map[[3]int64]bool, 6)
	for i := 0; i < len(words); i++ {
		if strings.Contains(words[i], ":") {
			micros, ok := ClockFromText(words[i])
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
	d.Months, d.Days, d.Int = int32(sums[0]), int32(sums[1]), sums[2]
	return int64(d.Months) == sums[0] && int64(d.Days) == sums[1] && sums[2] < infinity/2 && sums[2] > minusInfinity/2
}

// splitUnit parts "3d" into number and unit.
func splitUnit(word string) (number, unit string) {
	i := strings.IndexFunc(word, func(r rune) bool { return (r < '0' || r > '9') && r != '+' && r != '-' })
	if i < 0 {
		return word, ""
	}
	return word[:i], word[i:]
}

// ClockFromText parses [-]H…:MM[:SS[.ffffff]].
func ClockFromText(text string) (micros int64, ok bool) {
	s := strings.TrimLeft(text, "+-")
	if len(text)-len(s) > 1 {
		return 0, false
	}
	p := scanner{s: []byte(s), ok: true}
	hours, _ := p.number(1, 10)
	p.expect(':')
	minutes, _ := p.number(2, 2)
	micros = int64(hours)*MicrosPerHour + int64(minutes)*60_000_000
	seconds := 0
	if p.accept(':') {
		seconds, _ = p.number(2, 2)
		micros += int64(seconds) * 1_000_000
		micros += p.fraction()
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
func intervalText(d *Datum) string {
	switch {
	case d.Int == infinity && d.Months == foreverMonths:
		return "infinity"
	case d.Int == minusInfinity && d.Months == math.MinInt32:
		return "-infinity"
	}
	var b strings.Builder
	minus := false // the field before was negative, so a positive one gets its sign
	for _, f := range []struct {
		n    int32
		unit string
	}{{d.Months / 12, "year"}, {d.Months % 12, "mon"}, {d.Days, "day"}} {
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
	if d.Int != 0 || b.Len() == 0 {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		switch {
		case d.Int < 0:
			b.WriteByte('-')
		case minus:
			b.WriteByte('+')
		}
		b.WriteString(clockText(Magnitude(d.Int)))
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
func compareInterval(a, b *Datum) int {
	x, xr := intervalLength(a)
	y, yr := intervalLength(b)
	if c := compareInt(x, y); c != 0 {
		return c
	}
	return compareInt(xr, yr)
}

// intervalLength returns whole days and microseconds, which are not negative.
func intervalLength(d *Datum) (days, micros int64) {
	days, micros = int64(d.Months)*daysPerMonth+int64(d.Days)+d.Int/MicrosPerDay, d.Int%MicrosPerDay
	if micros < 0 {
		days, micros = days-1, micros+MicrosPerDay
	}
	return days, micros
}

// ReachOf is how many years an interval can move a date, rounded up.
func ReachOf(d *Datum) int {
	const daysPerYear = 365
	return int(Magnitude(int64(d.Months))/12+Magnitude(int64(d.Days))/daysPerYear+Magnitude(d.Int)/(daysPerYear*MicrosPerDay)) + 1
}

// AddInterval is timestamp + interval: months first, which may cut the day to the month's last, then days, then time.
func AddInterval(micros int64, v *Datum) int64 {
	if IsInfinite(micros) {
		return micros
	}
	days := dayOfMicros(micros)
	rest := micros - days*MicrosPerDay
	if v.Months != 0 {
		year, month, day := civil(days)
		month += int64(v.Months) - 1
		year += month / 12
		if month %= 12; month < 0 {
			month += 12
			year--
		}
		month++
		parts := dateParts{year: int(year), month: int(month), day: int(min(day, int64(daysInMonth(int(year), int(month)))))}
		days = parts.days()
	}
	return (days+int64(v.Days))*MicrosPerDay + rest + v.Int
}

// dayOfMicros is the day that a timestamp is in.
func dayOfMicros(micros int64) int64 {
	if IsInfinite(micros) {
		return micros
	}
	days := micros / MicrosPerDay
	if micros%MicrosPerDay < 0 {
		days--
	}
	return days
}

// JustifyHours moves whole days out of the time, and gives both the same sign.
func JustifyHours(d Datum) Datum {
	d.Days += int32(d.Int / MicrosPerDay)
	d.Int %= MicrosPerDay
	return sameSignDays(d)
}

func sameSignDays(d Datum) Datum {
	switch {
	case d.Days > 0 && d.Int < 0:
		d.Int += MicrosPerDay
		d.Days--
	case d.Days < 0 && d.Int > 0:
		d.Int -= MicrosPerDay
		d.Days++
	}
	return d
}

// JustifyDays moves whole months out of the days, and gives both the same sign.
func JustifyDays(d Datum) Datum {
	d.Months += d.Days / daysPerMonth
	d.Days %= daysPerMonth
	switch {
	case d.Months > 0 && d.Days < 0:
		d.Days += daysPerMonth
		d.Months--
	case d.Months < 0 && d.Days > 0:
		d.Days -= daysPerMonth
		d.Months++
	}
	return d
}

// JustifyInterval moves whole days and months out of the smaller fields, and gives all of them the same sign.
func JustifyInterval(d Datum) Datum {
	d.Days += int32(d.Int / MicrosPerDay)
	d.Int %= MicrosPerDay
	d.Months += d.Days / daysPerMonth
	d.Days %= daysPerMonth
	switch {
	case d.Months > 0 && (d.Days < 0 || d.Days == 0 && d.Int < 0):
		d.Days += daysPerMonth
		d.Months--
	case d.Months < 0 && (d.Days > 0 || d.Days == 0 && d.Int > 0):
		d.Days -= daysPerMonth
		d.Months++
	}
	return sameSignDays(d)
}

// timeFromText parses a time of day; 24:00:00 is one.
func timeFromText(text []byte) (micros int64, ok bool) {
	if len(text) < 5 || text[0] < '0' || text[0] > '9' || text[2] != ':' {
		return 0, false
	}
	micros, ok = ClockFromText(string(text))
	return micros, ok && micros <= MicrosPerDay
}

// Magnitude is |n|, also of the least int64.
func Magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}
