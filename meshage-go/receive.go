package meshage

// #include "shim.h"
import "C"

import (
	"context"
	"runtime"
	"unsafe"
)

// Messages returns the channel of the node's received messages, which NewNode returns as well. It
// is closed after the node.
func (n *Node) Messages() <-chan *Message { return n.messages }

// Recv waits for the next message of the channel. The error is ErrClosed once the node is closed
// and the channel is empty, or the cause of the end of the context.
func (n *Node) Recv(ctx context.Context) (*Message, error) {
	select {
	case message, ok := <-n.messages:
		if !ok {
			return nil, &OpError{Op: "receive", Err: ErrClosed}
		}
		return message, nil
	case <-ctx.Done():
		return nil, &OpError{Op: "receive", Err: context.Cause(ctx)}
	}
}

// receive moves messages from the library to the channel until the node closes. It is the only
// goroutine of the node that waits inside the library. When the channel is full it waits, and the
// library's own queue fills up. (Waiting for the library's descriptor in Go's poller instead needs
// no thread but takes longer: 49 µs for a round trip on one core instead of 31, the medians of ten
// alternating rounds of the benchmark set_rtt.)
func (n *Node) receive() {
	batch := C.mg_batch_create()
	defer C.mg_batch_free(batch)
	defer close(n.messages)
	names := interner{}
	for {
		handle, err := n.enter("receive")
		if err != nil {
			return
		}
		status := C.mg_batch_receive(batch, handle, C.size_t(n.batch))
		n.leave()
		if status != C.MESHAGE_OK {
			return
		}
		for i := 0; i < int(batch.count); i++ {
			select {
			case n.messages <- names.message(batch, i):
			case <-n.closing:
				return
			}
		}
		// Let the receiving goroutines run first: a wait in the library would keep this processor
		// from them until the runtime detects it.
		runtime.Gosched()
	}
}

// message copies one message of a batch.
func (in interner) message(batch *C.mg_batch, i int) *Message {
	from := &batch.messages[i]
	text := unsafe.Slice((*byte)(unsafe.Pointer(batch.names.data)), batch.names.len)[from.names_offset:]
	message := &Message{
		Source:   in.next(&text),
		Instance: uint64(from.instance),
		ID:       uint64(from.id),
		Command:  MESSAGE,
		Body:     decode(unsafe.Slice((*byte)(from.body), from.len), Encoding(from.encoding)),
	}
	recipients := int(from.recipients)
	names := make([]string, recipients+int(from.hops))
	for i := range names {
		names[i] = in.next(&text)
	}
	message.Recipients = names[:recipients:recipients]
	message.CurrentRoute = names[recipients:]
	return message
}
