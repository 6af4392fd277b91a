// Package logs carries the log records of a child process to its parent, over a pipe of their own.
//
// In the child, a [Handler] of log/slog encodes each record as a line of JSON and writes it to the pipe, on the goroutine
// that logs. What has been logged is in the pipe, whatever becomes of the child. Where the pipe stays full for 10 ms, records
// are dropped, and counted, until there is room.
//
// In the parent, [Serve] reads the pipe for as long as the child lives, and hands the records to a handler on a goroutine of
// its own. 8 MiB of lines wait for that handler. Further ones are dropped and counted. So neither the child nor the reading
// waits for the handler. The child may be hostile: lines are bounded, and those that are no records are dropped.
package logs
