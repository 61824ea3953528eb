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

// Set sends a body to the named nodes and waits until all have acknowledged it, or for the node's
// timeout. A recipient acknowledges a message when it is in its queue. Set returns the recipients
// that received the message. Duplicate recipients count once. The node itself is ignored among
// other recipients.
//
// Errors: a *SendError if the message was sent and not all recipients received it; else an *OpError
// with ErrInvalid, ErrSelf, ErrTooLarge, ErrAgain or ErrClosed, and nothing was sent.
func (n *Node) Set(recipients []string, body interface{}) ([]string, error) {
	return n.SetContext(context.Background(), recipients, body)
}

// SetContext is Set with a context. The context's deadline, if it has one, replaces the node's
// timeout. When the context ends, the send ends. The outcome is ErrCanceled for a recipient to
// which the message was not transmitted yet, and ErrTimeout for any other, because it may still
// arrive. The error then wraps the context's error as well.
func (n *Node) SetContext(ctx context.Context, recipients []string, body interface{}) ([]string, error) {
	return n.SetWith(ctx, recipients, body, SendOptions{})
}

// SetWith is SetContext with options.
func (n *Node) SetWith(ctx context.Context, recipients []string, body interface{}, options SendOptions) ([]string, error) {
	if len(recipients) == 0 {
		return nil, &OpError{Op: "set", Err: ErrInvalid, Detail: "no recipients"}
	}
	return n.send(ctx, "set", recipients, body, options)
}

// Broadcast sends a body to every node that is reachable now and waits until all have acknowledged
// it. It returns the recipients that received the message. On an empty mesh it returns none and no
// error. The errors are those of Set.
func (n *Node) Broadcast(body interface{}) ([]string, error) {
	return n.BroadcastContext(context.Background(), body)
}

// BroadcastContext is Broadcast with a context, as in SetContext.
func (n *Node) BroadcastContext(ctx context.Context, body interface{}) ([]string, error) {
	return n.BroadcastWith(ctx, body, SendOptions{})
}

// BroadcastWith is BroadcastContext with options. Retries concern the nodes that were reachable
// when the call began.
func (n *Node) BroadcastWith(ctx context.Context, body interface{}, options SendOptions) ([]string, error) {
	return n.send(ctx, "broadcast", nil, body, options)
}

// Send sends the Body of a message to its Recipients; without recipients it broadcasts. It returns
// the recipients that received the message. The error of a broadcast that was sent is always nil:
// compare the names, or use SendContext.
func (n *Node) Send(m *Message) ([]string, error) {
	delivered, err := n.SendContext(context.Background(), m)
	var failed *SendError
	if len(m.Recipients) == 0 && errors.As(err, &failed) {
		return delivered, nil
	}
	return delivered, err
}

// SendContext is Send with a context, as in SetContext, and with the errors of a broadcast. The
// error for a message with Command MSA is ErrInvalid: use Node.MSA to announce links.
func (n *Node) SendContext(ctx context.Context, m *Message) ([]string, error) {
	return n.SendWith(ctx, m, SendOptions{})
}

// SendWith is SendContext with options.
func (n *Node) SendWith(ctx context.Context, m *Message, options SendOptions) ([]string, error) {
	if m.Command == MSA {
		return nil, &OpError{Op: "send", Err: ErrInvalid, Detail: "use Node.MSA to send announcements"}
	}
	return n.send(ctx, "send", m.Recipients, m.Body, options)
}

// SendOptions are the options of one send. The zero value has the defaults.
type SendOptions struct {
	// Timeout is how long the send waits for the acknowledgements, in whole milliseconds, instead
	// of the node's timeout. If the context ends earlier, so does the send. Forever waits without a
	// limit, and AtOnce does not wait. Default: the node's timeout, or the context's deadline.
	Timeout time.Duration
	// Retry sends a message again that finds no route, or whose route breaks, along the route at
	// that time, until the timeout. So ErrNoRoute and ErrLost do not end the send. No node receives
	// a message twice.
	Retry bool
}

// timeout returns the library's timeout for a send with these options and this timeout of its
// context.
func (o *SendOptions) timeout(op string, context C.int32_t) (C.int32_t, error) {
	switch o.Timeout {
	case AtOnce:
		return 0, nil
	case Forever:
		if context == C.MESHAGE_DEFAULT {
			return C.MESHAGE_INFINITE, nil
		}
		return context, nil
	}
	ms := milliseconds(o.Timeout)
	if ms < 0 || ms > math.MaxInt32 {
		return 0, &OpError{Op: op, Err: ErrInvalid, Detail: "the timeout is out of range"}
	}
	if context >= 0 {
		return min(context, C.int32_t(ms)), nil
	}
	return C.int32_t(ms), nil
}

// An outgoing has the arguments of a send for the library.
type outgoing struct {
	op       string
	names    *packer
	count    int
	body     encodedBody
	timeout  C.int32_t
	retry    C.int32_t
	reported C.int32_t
}

// send sends a message and waits for the result.
func (n *Node) send(ctx context.Context, op string, recipients []string, body interface{}, options SendOptions) ([]string, error) {
	timeout, err := timeoutOf(ctx)
	if err != nil {
		return nil, &OpError{Op: op, Err: err}
	}
	if options.Timeout != 0 {
		timeout, err = options.timeout(op, timeout)
		if err != nil {
			return nil, err
		}
	}
	encoded, err := encode(op, body)
	if err != nil {
		return nil, err
	}
	names, err := pack(op, recipients)
	if err != nil {
		return nil, err
	}
	defer names.put()
	out := outgoing{op: op, names: names, count: len(recipients), body: encoded, timeout: timeout}
	if n.retry || options.Retry {
		out.retry = 1
	}
	if len(recipients) == 0 {
		out.reported = 1
	}
	result, err := n.submit(ctx, &out)
	if err != nil {
		return nil, err
	}
	if result.report == nil {
		if result.status != C.MESHAGE_OK {
			return nil, &OpError{Op: op, Err: Status(result.status)}
		}
		return n.distinct(recipients), nil
	}
	return outcome(ctx, result.report)
}

// submit sends in one of two ways. A single send that cannot be canceled waits inside the library,
// which costs least. Concurrent sends wait as goroutines, and the dispatching goroutine passes them
// their results: many waiting sends occupy no threads.
func (n *Node) submit(ctx context.Context, out *outgoing) (sendResult, error) {
	others := n.outstanding.Add(1) - 1
	defer n.outstanding.Add(-1)
	if others == 0 && ctx.Done() == nil {
		return n.sendBlocking(out)
	}
	return n.sendAsync(ctx, out)
}

func (n *Node) sendBlocking(out *outgoing) (sendResult, error) {
	handle, err := n.enter(out.op)
	if err != nil {
		return sendResult{}, err
	}
	defer n.leave()
	result := C.mg_send(handle, out.names.pointer(), C.size_t(out.count), out.body.pointer(),
		C.size_t(len(out.body.data)), C.int32_t(out.body.encoding), out.timeout, out.retry,
		out.reported)
	if result.status == C.MESHAGE_OK {
		return sendResult{result.status, result.report}, nil
	}
	err = failure(out.op, result.status, result.error)
	if result.report != nil {
		return sendResult{result.status, result.report}, nil
	}
	return sendResult{}, err
}

func (n *Node) sendAsync(ctx context.Context, out *outgoing) (sendResult, error) {
	handle, err := n.enter(out.op)
	if err != nil {
		return sendResult{}, err
	}
	n.dispatch()
	send := n.pending.acquire()
	defer n.pending.release(send)
	var cancelable C.int32_t
	if ctx.Done() != nil {
		cancelable = 1
	}
	result := C.mg_send_async(handle, out.names.pointer(), C.size_t(out.count), out.body.pointer(),
		C.size_t(len(out.body.data)), C.int32_t(out.body.encoding), out.timeout, out.retry,
		out.reported, cancelable, n.queue, C.uint64_t(send.token))
	n.leave()
	if result.status != C.MESHAGE_OK {
		return sendResult{}, failure(out.op, result.status, result.error)
	}
	if result.op == nil {
		return <-send.done, nil
	}
	defer C.meshage_op_free(result.op)
	select {
	case completed := <-send.done:
		return completed, nil
	case <-ctx.Done():
		// The library ends the send at once and reports its outcomes.
		C.meshage_op_cancel(result.op)
		return <-send.done, nil
	}
}

// timeoutOf returns the library's timeout for a call with this context. It returns an error if the
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
	// Rounded up, so that the context ends first and becomes the cause.
	if ms := left/time.Millisecond + 1; ms <= math.MaxInt32 {
		return C.int32_t(ms), nil
	}
	return C.MESHAGE_INFINITE, nil
}

// distinct returns the recipients without duplicates and without the node itself: the nodes that a
// successful send has reached.
func (n *Node) distinct(recipients []string) []string {
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

// outcome reads a report and frees it.
func outcome(ctx context.Context, report *C.meshage_report) ([]string, error) {
	fields := splitText(C.mg_report_take(report))
	delivered := make([]string, 0, len(fields)/2)
	var failed []*RecipientError
	for i := 0; i+1 < len(fields); i += 2 {
		// The shim formats the number, so it is valid.
		if status, _ := strconv.Atoi(fields[i+1]); status != C.MESHAGE_OK {
			failed = append(failed, &RecipientError{Recipient: fields[i], Err: Status(status)})
			continue
		}
		delivered = append(delivered, fields[i])
	}
	if failed == nil {
		return delivered, nil
	}
	return delivered, &SendError{Delivered: delivered, Failed: failed, Cause: cause(ctx)}
}

// cause returns the cause of the end of the context. If its deadline has passed, that is
// DeadlineExceeded, even if the context has not ended yet: the library may end the send before the
// context's own timer runs.
func cause(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if deadline, ok := ctx.Deadline(); ok && !time.Now().Before(deadline) {
		return context.DeadlineExceeded
	}
	return nil
}
