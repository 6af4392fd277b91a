package claim

// keep does nothing: os/exec passes on only the handles that it is told to.
func keep(string) {}
