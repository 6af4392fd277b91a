// Package supervisor keeps child processes of package gipc running: it starts them in order, restarts those that fail, gives
// up when one fails too often, and stops them in reverse order.
//
//	s := supervisor.New(ctx, nil)
//	err := s.Start(supervisor.Child(resize, func(ctx context.Context) (ResizeArgs, error) { … }, nil))
//	err = s.Wait()
//
// A Supervisor calls the function given to [Child] before every start, so that a restarted child gets fresh channels.
package supervisor
