package meshage

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"context"
	"errors"
	"math"
	"strconv"
	"time"
)

// Set sends a body to the named nodes and waits until all have acknowledged it, which is when it is
// in their queues, or for the node's timeout. It returns those that have it. Doubles count once; the
// node itself is skipped among others.
//
// Errors: a *SendError where the message left and not all have it; else an *OpError with ErrInvalid,
// ErrSelf, ErrTooLarge, ErrAgain or ErrClosed, and nothing was sent.
func (n *Node) Set(recipients []string, body interface{}) ([]string, error) {
	return n.SetContext(context.Background(), recipients, body)
}

// SetContext is Set with a context: its deadline, where it has one, takes the place of the node's
// timeout. When it ends, the send ends: to a recipient that it has not left for it is ErrCanceled, to
// another ErrTimeout, since it may still arrive. The error is then the context's as well.
func (n *Node) SetContext(ctx context.Context, recipients []string, body interface{}) ([]string, error) {
	if len(recipients) == 0 {
		return nil, &OpError{Op: "set", Err: ErrInvalid, Detail: "no recipient"}
	}
	return n.send(ctx, "set", recipients, body)
}

// Broadcast sends a body to every node that can be reached now, and waits until all have
// acknowledged it. It returns those that have it: none on an empty mesh, which is no error. Errors
// are as of Set.
func (n *Node) Broadcast(body interface{}) ([]string, error) {
	return n.BroadcastContext(context.Background(), body)
}

// BroadcastContext is Broadcast with a context, as SetContext has one.
func (n *Node) BroadcastContext(ctx context.Context, body interface{}) ([]string, error) {
	return n.send(ctx, "broadcast", nil, body)
}

// Send sends a message by its Recipients and its Body; without recipients it is a broadcast. It
// returns those that have it. Of a broadcast that left, the error is always nil: compare the names,
// or use SendContext.
func (n *Node) Send(m *Message) ([]string, error) {
	delivered, err := n.SendContext(context.Background(), m)
	var failed *SendError
	if len(m.Recipients) == 0 && errors.As(err, &failed) {
		return delivered, nil
	}
	return delivered, err
}

// SendContext is Send with a context, as SetContext has one, and with the errors of a broadcast. A
// message of Command MSA is ErrInvalid: Node.MSA announces.
func (n *Node) SendContext(ctx context.Context, m *Message) ([]string, error) {
	if m.Command == MSA {
		return nil, &OpError{Op: "send", Err: ErrInvalid, Detail: "announcements are sent by Node.MSA"}
	}
	return n.send(ctx, "send", m.Recipients, m.Body)
}

// An outgoing is a send on its way into the library.
type outgoing struct {
	op       string
	names    *packer
	count    int
	body     parts
	timeout  C.int32_t
	reported C.int32_t
}

// send sends, and waits for the end.
func (n *Node) send(ctx context.Context, op string, recipients []string, body interface{}) ([]string, error) {
	timeout, err := timeoutOf(ctx)
	if err != nil {
		return nil, &OpError{Op: op, Err: err}
	}
	parts, err := encode(op, body)
	if err != nil {
		return nil, err
	}
	names, err := pack(op, recipients)
	if err != nil {
		return nil, err
	}
	defer names.put()
	out := outgoing{op: op, names: names, count: len(recipients), body: parts, timeout: timeout}
	if len(recipients) == 0 {
		out.reported = 1
	}
	ended, err := n.sendOut(ctx, &out)
	if err != nil {
		return nil, err
	}
	if ended.report == nil {
		if ended.status != C.MESHAGE_OK {
			return nil, &OpError{Op: op, Err: Status(ended.status)}
		}
		return n.others(recipients), nil
	}
	return outcome(ctx, ended.report)
}

// sendOut takes one of two ways. A send that is alone and cannot be canceled waits inside the
// library, which costs least. Beside others it waits as a goroutine, and the library tells its end to
// the dispatching one: many sends that wait hold no threads.
func (n *Node) sendOut(ctx context.Context, out *outgoing) (end, error) {
	others := n.underWay.Add(1) - 1
	defer n.underWay.Add(-1)
	if others == 0 && ctx.Done() == nil {
		return n.sendAlone(out)
	}
	return n.sendBeside(ctx, out)
}

func (n *Node) sendAlone(out *outgoing) (end, error) {
	handle, err := n.enter(out.op)
	if err != nil {
		return end{}, err
	}
	defer n.leave()
	answer := C.mg_send(handle, out.names.pointer(), C.size_t(out.count), out.body.pointer(),
		C.size_t(len(out.body.data)), C.int32_t(out.body.encoding), out.timeout, out.reported)
	if answer.status == C.MESHAGE_OK {
		return end{answer.status, answer.report}, nil
	}
	err = failure(out.op, answer.status, answer.error)
	if answer.report != nil {
		return end{answer.status, answer.report}, nil
	}
	return end{}, err
}

func (n *Node) sendBeside(ctx context.Context, out *outgoing) (end, error) {
	handle, err := n.enter(out.op)
	if err != nil {
		return end{}, err
	}
	n.dispatch()
	call := n.calls.take()
	defer n.calls.give(call)
	var cancelable C.int32_t
	if ctx.Done() != nil {
		cancelable = 1
	}
	answer := C.mg_begin(handle, out.names.pointer(), C.size_t(out.count), out.body.pointer(),
		C.size_t(len(out.body.data)), C.int32_t(out.body.encoding), out.timeout, out.reported,
		cancelable, n.queue, C.uint64_t(call.token))
	n.leave()
	if answer.status != C.MESHAGE_OK {
		return end{}, failure(out.op, answer.status, answer.error)
	}
	if answer.op == nil {
		return <-call.done, nil
	}
	defer C.meshage_op_free(answer.op)
	select {
	case ended := <-call.done:
		return ended, nil
	case <-ctx.Done():
		// The library ends it at once, and says how far it came.
		C.meshage_op_cancel(answer.op)
		return <-call.done, nil
	}
}

// timeoutOf is how long the library shall wait for a call with this context; an error where the
// context has ended.
func timeoutOf(ctx context.Context) (C.int32_t, error) {
	if ctx.Done() == nil {
		return C.MESHAGE_DEFAULT, nil
	}
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		return C.MESHAGE_DEFAULT, nil
	}
	left := time.Until(deadline)
	if left <= 0 {
		return 0, context.DeadlineExceeded
	}
	// Rounded up, so that the context ends first, and is named as the cause.
	if ms := left/time.Millisecond + 1; ms <= math.MaxInt32 {
		return C.int32_t(ms), nil
	}
	return C.MESHAGE_INFINITE, nil
}

// others are the recipients without doubles and without the node itself: whom a send that succeeded
// has reached.
func (n *Node) others(recipients []string) []string {
	reached := make([]string, 0, len(recipients))
	if len(recipients) == 1 {
		return append(reached, recipients[0])
	}
	seen := make(map[string]bool, len(recipients))
	seen[n.name] = true
	for _, name := range recipients {
		if !seen[name] {
			seen[name] = true
			reached = append(reached, name)
		}
	}
	return reached
}

// outcome reads a report, and frees it.
func outcome(ctx context.Context, report *C.meshage_report) ([]string, error) {
	said := words(C.mg_report_take(report))
	delivered := make([]string, 0, len(said)/2)
	var failed []*RecipientError
	for i := 0; i+1 < len(said); i += 2 {
		// The shim wrote the number.
		if status, _ := strconv.Atoi(said[i+1]); status != C.MESHAGE_OK {
			failed = append(failed, &RecipientError{Recipient: said[i], Err: Status(status)})
			continue
		}
		delivered = append(delivered, said[i])
	}
	if failed == nil {
		return delivered, nil
	}
	return delivered, &SendError{Delivered: delivered, Failed: failed, Cause: cause(ctx, failed)}
}

// cause is what ended the context, where it ended, or is about to since its deadline was ours.
func cause(ctx context.Context, failed []*RecipientError) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, ok := ctx.Deadline(); ok {
		for _, one := range failed {
			if one.Err == ErrTimeout {
				return context.DeadlineExceeded
			}
		}
	}
	return nil
}
