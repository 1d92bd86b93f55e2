package predicate

import "strings"

func (g *generator) constantOf(sqlType string) string {
	return quoteLiteral(pick(g, g.poolOf(sqlType))) + "::" + sqlType
}

// regex makes a random pattern; of what is of the language, and of what is not.
func (g *generator) regex(depth int) string {
	var out strings.Builder
	for n := g.IntN(3); n >= 0; n-- {
		atom := pick(g, regexAtoms)
		if depth > 0 && g.IntN(5) == 0 {
			atom = pick(g, []string{"(", "(?:"}) + g.regex(depth-1) + ")"
		}
		out.WriteString(atom)
		if g.IntN(3) == 0 {
			out.WriteString(pick(g, []string{"*", "+", "?", "{2}", "{1,2}", "{0,3}", "{2,}", "*?", "+?", "??", "{0}"}))
		}
	}
	s := out.String()
	switch g.IntN(8) {
	case 0:
		s = "^" + s
	case 1:
		s += "$"
	case 2:
		s = "^" + s + "$"
	case 3:
		s += "|" + pick(g, regexAtoms)
	}
	return s
}

var regexAtoms = []string{
	"a", "b", "A", "B", "ab", "é", "É", "日", ".", " ", "%", "_", "1", "k", "K", "s", "ß", "z", "[ab]", "[^a]", "[a-c]", "[A-Z]", "[^a-z]", "[é-日]", "[[:alpha:]]", "[^[:space:]]",
	"[[:upper:]b]", "[[:lower:]]", "[[:punct:]]", "[[:digit:][:blank:]]", "[]a]", "[a-]", "[-a]", `[\\]`, `[\w-]`, `[\s%]`, "[$^.]", `\d`, `\w`, `\s`, `\D`, `\W`, `\S`, `\.`, `\\`, `\n`,
	`\%`, `\y`, `\Y`, `\A`, `\Z`, "^", "$", "a|b", "(a|ab)", "(a*)", `(\w+) `, "^a", "b$", "[[:alnum:]]+", ".*", "[^\n]",
}

// atom is a column or a typed constant.
func (g *generator) atom(kind string) string {
	var names, pool []string
	sqlType := kind
	switch kind {
	case "int":
		names, pool = []string{"i2", "i4", "i8", "di"}, []string{"0", "1", "7", "-3", "42", "100000", "3000000000"}
		if g.IntN(2) == 0 {
			return pick(g, pool)
		}
		return pick(g, names)
	case "i4":
		return pick(g, []string{"i4", "i2", "1", "7", "di"})
	case "f4":
		return pick(g, []string{"f4", "'1.5'::real", "'0.1'::real"})
	case "numeric":
		names, pool = []string{"n", "price", "dn"}, []string{"0.1", "1", "2.5", "-7.25", "1e20", "0", "3"}
	case "float8":
		names, pool = []string{"f8"}, []string{"0.1", "1", "2.5", "-7.25", "1e20", "0", "3"}
	case "text":
		names, pool = []string{"t", "v", "c", `"T x""y"`, "dt"}, append([]string{"42", "7"}, texts...)
	case "date":
		names, pool = []string{"d"}, tamePools["d"]
	case "timestamp":
		names, pool = []string{"ts"}, tamePools["ts"]
	case "timestamptz":
		names, pool = []string{"tz", "tz2"}, tamePools["tz"]
	case "time":
		names, pool = []string{"tm"}, times
	case "interval":
		names, pool = []string{"iv", "iv2"}, intervals
	case "int[]":
		names, pool = []string{"ai"}, intArrays
		if g.flat {
			pool = tamePools["ai"]
		}
	case "text[]":
		names, pool = []string{"at"}, textArrays
		if g.flat {
			pool = tamePools["at"]
		}
	case "jsonb":
		names, pool = []string{"j", "j2"}, documents
	case "enum":
		return pick(g, []string{"m", "m2"})
	case "bool":
		return pick(g, []string{"b", "b2", "true", "false"})
	case "key":
		return pick(g, []string{"'a'", "0"})
	case "path":
		return pick(g, []string{"'{a}'", "at"})
	case "small":
		return pick(g, []string{"1", "i2"})
	case "v", "i8":
		return kind
	case "separator":
		return "'a'"
	default:
		for _, c := range g.columns {
			if c.sqlType == kind || kind == "inet" && c.sqlType == "cidr" || kind == "bit varying" && strings.HasPrefix(c.sqlType, "bit") {
				names, pool = append(names, c.name), c.pool
			}
		}
		if kind == "inet" {
			names, pool = []string{"ip"}, hosts
		}
	}
	if g.IntN(3) > 0 {
		return pick(g, names)
	}
	constant := quoteLiteral(pick(g, pool)) + "::" + sqlType
	if kind == "text" {
		constant = "(" + constant + byteOrder + ")"
	}
	return constant
}
