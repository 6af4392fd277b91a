// Package fd has the pipes that gipc's channels run over, and what it takes to hand their ends, and files, to a child
// process: duplicating, giving away, claiming and opening descriptors (handles on Windows).
//
// An [End] is one end of a pipe, with deadlines. It belongs to whoever made or opened it, who closes it. An
// [Inheritable] is what a child can inherit. It is made from an End, which it replaces ([Give]), or beside a stream that
// stays open ([Duplicate]); whoever holds it closes it once the child has been started.
//
// Two things hold everywhere. No descriptor can be inherited by accident: all are close-on-exec (not inheritable on
// Windows) but for the moment in which a child is started. And nothing changes the blocking mode of a descriptor that is
// in use: os.File.Fd would, so it is called nowhere on a live end.
package fd
