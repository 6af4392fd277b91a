// Package restart decides when to start something again that has ended: how often within a span of time, and after which
// delay. It knows nothing of processes and clocks.
package restart
