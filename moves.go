package gipc

import (
	"context"
	"slices"
)

// How ends of each kind move: see handover.go.

func (in *inbound) beginMove(context.Context) error {
	if err := in.tryEnter(); err != nil {
		return err
	}
	if in.fate == ErrFrame || !in.src.settled() {
		defer in.leave()
		if in.fate == ErrFrame {
			return ErrFrame
		}
		return ErrLocked
	}
	in.mu.Lock()
	in.moving = true
	in.mu.Unlock()
	return nil
}

func (in *inbound) abandonMove() {
	in.mu.Lock()
	in.moving = false
	in.leaveLocked()
	in.mu.Unlock()
}

func (in *inbound) finishMove(err error) error {
	in.mu.Lock()
	in.moving = false
	in.mu.Unlock()
	if err := in.shut(err, false); err != nil {
		return err
	}
	in.release()
	return in.src.close()
}

func (in *inbound) isMoving() bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.moving
}

func (in *inbound) inheritable() (inheritable, error) { return duplicate(in.stream) }

// describeMove renders what has been read and not delivered as the bytes that it came as, but for messages given back:
// the rest of a refused message may lie between those and these bytes.
func (in *inbound) describeMove() passedEnd {
	var unread []byte
	if in.large {
		unread = append(appendHeader(unread, in.length), in.body...)
	}
	unread = append(unread, in.chunk[in.start:in.end]...)
	unread = append(unread, in.src.leftover()...)
	var givenBack [][]byte
	in.mu.Lock()
	for _, u := range in.unread {
		givenBack = append(givenBack, u.payload)
	}
	in.mu.Unlock()
	return passedEnd{
		Kind: passedReader, MaxMessage: in.maxMessage, NonBlocking: hasDeadlines(in.src) && deadlinesTravel(in.stream),
		GivenBack: givenBack, Skip: in.skip, Unread: unread,
	}
}

// seed puts before the bytes of the source what describeMove told.
func (in *inbound) seed(p passedEnd) {
	for _, payload := range p.GivenBack {
		in.taken++
		in.unread = append(in.unread, unread{in.taken, payload})
	}
	in.hasUnread.Store(len(in.unread) > 0)
	in.skip = p.Skip
	if len(p.Unread) > 0 {
		in.src = &seededSource{source: in.src, seed: p.Unread}
	}
}

// seededSource is a source with some bytes before it.
type seededSource struct {
	source
	seed []byte
}

func (s *seededSource) read(ctx context.Context, mem lender) (int, error) {
	if len(s.seed) == 0 {
		return s.source.read(ctx, mem)
	}
	n := copy(mem.lend(false), s.seed)
	s.seed = s.seed[n:]
	return n, nil
}

func (s *seededSource) leftover() []byte { return slices.Concat(s.seed, s.source.leftover()) }

func hasDeadlines(s source) bool {
	if seeded, ok := s.(*seededSource); ok {
		s = seeded.source
	}
	_, ok := s.(*deadlineSource)
	return ok
}

func (out *outbound) isMoving() bool {
	out.mu.Lock()
	defer out.mu.Unlock()
	return out.moving
}

func (out *outbound) inheritable() (inheritable, error) { return duplicate(out.stream) }

func (out *outbound) describeMove() passedEnd {
	return passedEnd{
		Kind: passedWriter, MaxMessage: out.maxMessage, Buffer: out.buffer, NonBlocking: out.dst.interruptible(),
	}
}

func (r *Reader[T]) halves() ([]movedHalf, error) {
	if r.in == nil {
		return nil, errZeroEnd
	}
	return []movedHalf{{r.in, r.codec.Name()}}, codecTravels(r.codec)
}

func (r *Reader[T]) adopt(halves []adoptedHalf) error {
	in, ok := halves[0].half.(*inbound)
	if !ok {
		return errMixedUp
	}
	codec, err := codecByName[T](halves[0].Codec)
	*r = readerOn(in, codec)
	return err
}

func (r *Reader[T]) isMoving() bool { return r.in != nil && r.in.isMoving() }

// MarshalCBOR refuses: an end can't travel inside a message, only in the arguments of Spawn.
func (r *Reader[T]) MarshalCBOR() ([]byte, error) { return encodeEnd(r) }

// UnmarshalCBOR refuses, as MarshalCBOR does.
func (r *Reader[T]) UnmarshalCBOR([]byte) error { return decodeEnd() }

// MarshalJSON refuses, as MarshalCBOR does.
func (r *Reader[T]) MarshalJSON() ([]byte, error) { return nil, errInMessage }

// UnmarshalJSON refuses, as MarshalCBOR does.
func (r *Reader[T]) UnmarshalJSON([]byte) error { return errInMessage }

func (w *Writer[T]) halves() ([]movedHalf, error) {
	if w.out == nil {
		return nil, errZeroEnd
	}
	return []movedHalf{{w.out, w.codec.Name()}}, codecTravels(w.codec)
}

func (w *Writer[T]) adopt(halves []adoptedHalf) error {
	out, ok := halves[0].half.(*outbound)
	if !ok {
		return errMixedUp
	}
	codec, err := codecByName[T](halves[0].Codec)
	*w = writerOn(out, codec)
	return err
}

func (w *Writer[T]) isMoving() bool { return w.out != nil && w.out.isMoving() }

// MarshalCBOR refuses: an end can't travel inside a message, only in the arguments of Spawn.
func (w *Writer[T]) MarshalCBOR() ([]byte, error) { return encodeEnd(w) }

// UnmarshalCBOR refuses, as MarshalCBOR does.
func (w *Writer[T]) UnmarshalCBOR([]byte) error { return decodeEnd() }

// MarshalJSON refuses, as MarshalCBOR does.
func (w *Writer[T]) MarshalJSON() ([]byte, error) { return nil, errInMessage }

// UnmarshalJSON refuses, as MarshalCBOR does.
func (w *Writer[T]) UnmarshalJSON([]byte) error { return errInMessage }

func (d *Duplex[In, Out]) halves() ([]movedHalf, error) {
	if d.r == nil {
		return nil, errZeroEnd
	}
	r, errR := d.r.halves()
	w, errW := d.w.halves()
	if errR == nil {
		errR = errW
	}
	return slices.Concat(r, w), errR
}

func (d *Duplex[In, Out]) adopt(halves []adoptedHalf) error {
	d.r, d.w = new(Reader[In]), new(Writer[Out])
	if err := d.r.adopt(halves[:1]); err != nil {
		return err
	}
	return d.w.adopt(halves[1:])
}

func (d *Duplex[In, Out]) isMoving() bool { return d.r != nil && d.r.isMoving() && d.w.isMoving() }

// MarshalCBOR refuses: an end can't travel inside a message, only in the arguments of Spawn.
func (d *Duplex[In, Out]) MarshalCBOR() ([]byte, error) { return encodeEnd(d) }

// UnmarshalCBOR refuses, as MarshalCBOR does.
func (d *Duplex[In, Out]) UnmarshalCBOR([]byte) error { return decodeEnd() }

// MarshalJSON refuses, as MarshalCBOR does.
func (d *Duplex[In, Out]) MarshalJSON() ([]byte, error) { return nil, errInMessage }

// UnmarshalJSON refuses, as MarshalCBOR does.
func (d *Duplex[In, Out]) UnmarshalJSON([]byte) error { return errInMessage }

// movedError is what calls on a moved end return.
type movedError struct{ child string }

func (e *movedError) Error() string { return "moved to child process " + e.child }

func (e *movedError) Unwrap() error { return ErrMoved }
