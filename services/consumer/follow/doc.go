// Package follow decides what the changes of a table become in the logs of its shapes. It does no
// I/O.
package follow
