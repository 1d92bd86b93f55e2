// Package predicate is the where language of shapes: it parses a clause with Postgres' own grammar, checks it
// against the columns of one table, evaluates it on rows in Postgres' text form, and prints it back to SQL.
//
// The snapshot of a shape is filtered by Postgres (with SQL()) and its stream by Match, so the two must agree on
// every row. What cannot be reproduced exactly is refused by Compile with the position of the offending part; nothing
// is approximated. Text is always ordered by bytes, on both sides (COLLATE "C" in the SQL). For rows on which Postgres
// would raise an error an expression is NULL, on both sides too: the SQL is written such that it cannot fail (guard.go).
//
// A clause becomes a tree of nodes (conditions) and exprs (values). Comparisons of a column with constants, which are
// most of what people write, have nodes of their own that work on the row's text and allocate nothing; everything else
// is an expr with a generic comparison.
//
// A clause may test membership in what a subquery selects. Who evaluates it says what that is (MatchIn); the package
// reads no other table than the row's, and knows nothing of how a set comes about.
//
// # Where to look
//
// The first word of a file's name says what it does, the second with what (logic, case, compare, row, in, like, regex, text,
// part of a text, number, round, time, field of a time, array, range, composite, json, jsonpath, cast, call of what has no form of its own):
//
//	parse      the grammar's tree, limits of a clause, places of errors
//	type       operands and their types: columns, constants, parameters, casts, what is compared with what and how
//	build      from the grammar's tree to nodes and exprs; what is refused, and why
//	eval       nodes and exprs: their evaluation on a row
//	guard      what makes an error of Postgres a NULL on both sides
//	print      SQL, which is a clause again and its identity
//	access     by which keys an index finds the rows of a node
//	subquery   membership in what a subquery selects
//	value      (package) values of Postgres' types: their texts, order, conversion and arithmetic
//	like       (package) patterns of LIKE
//	regex      (package) regular expressions
//	jsonpath   (package) paths in jsonb documents
//	access     (package) paths and keys that an index follows
//
// LIKE, for example: build_expr.go and build_compare.go find it in the grammar's tree, build_like.go types it and picks a
// node, eval_like.go evaluates that with package like, print_like.go prints it, access_node.go looks up its prefix.
//
// The package assumes the text forms of a session with TimeZone=UTC, DateStyle=ISO, extra_float_digits >= 1,
// client_encoding=UTF8 and a UTF8 database. It reads no rows and keeps no state: a Predicate is immutable.
//
// The user's text never reaches Postgres: SQL() is printed from the checked tree, with every constant as a typed
// literal. docs/PREDICATES.md describes the language.
package predicate
