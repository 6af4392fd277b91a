//go:build (!unix && !windows) || aix

// A build for a platform without pipes or child processes ends here, with one line that says why.
package gipc_needs_pipes_and_child_processes_that_this_platform_lacks
