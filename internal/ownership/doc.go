// Package ownership shares the partitions of a source among the processes of a role.
//
// Each process announces itself as a member and holds leases on the partitions that are its share.
// Everybody works out the same shares from who is there and who holds what (Plan, which is pure), takes
// what is its own and free, and gives back what is another's. A lease is free when its holder gave it
// back, or is not a member any more: it was stopped, its announcements ran out (topology.MemberTTL), or it does
// not answer, because its connection is gone. A mistake there costs a hand-over and nothing else: who
// writes is decided by the expected sequence of what is written.
package ownership
