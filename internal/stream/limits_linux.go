package stream

// MaxRead is the most bytes that one read asks for.
const MaxRead = 1 << 30
