// Package proc starts this program again as a child process and serves the child until its end: the descriptors that it
// inherits, its process group (a job object on Windows), its standard streams, its crash report, the identity of its build,
// and its exit status. It knows nothing of channels or entrypoints: two pipes, for orders and reports, and a third one for log
// records if that is asked for, are all that it opens between parent and child for others to use.
//
// [Start] makes a [Child], and [Child.Serve] serves it until its end. What goes wrong in that is the error of the group that Serve
// is given. In the child, [Inherit] takes over what Start passed on.
//
// What holds at any moment:
//   - A child's number is used only until it is reaped, under the Child's lock: later it may be another process's.
//   - No goroutine outlives the child by more than three times DrainDelay, but for one that sits in a user's Read or Write.
//   - A descriptor is inherited by the child that it is meant for and by no other process.
package proc
