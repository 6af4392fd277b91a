// Package limits bounds what a process may use of the machine. A part of the limits is held by the process itself and handed on
// to whatever it starts: [Limits.Hold]. The rest is held from outside, by a [Cgroup] on Linux, or by the job of package proc on
// Windows. It knows nothing of how a child is started or served.
package limits
