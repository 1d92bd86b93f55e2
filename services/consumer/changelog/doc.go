// Package changelog reads the change log, and keeps what those who read it have to know of the
// place where they are.
//
// A Log is the change log as a session finds it. Its messages go to the main loop, which decodes
// them with a Feed and keeps the last ones in memory (Recent); a Cursor reads for shapes that are
// not with the main loop, from memory what the main loop has read lately and from the stream what is
// older. Visibility remembers which transactions a new snapshot may not see, though the change log
// has told of them; Proofs tell whether the change log goes on with the history that a snapshot was
// taken of. The Trimmer removes what nobody needs any more.
//
// The package knows no shape. A message that cannot be understood gives a PoisonError, and what it
// concerns is for others to say.
package changelog
