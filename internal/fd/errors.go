package fd

import "errors"

// ErrNoFile says that a stream has no descriptor that could be duplicated.
var ErrNoFile = errors.New("the end's stream has no file that a child could inherit")
