package meshage

// #include "shim.h"
import "C"

import "time"

// snoopLookMax is how long it may take until a Snoop is seen that is set late.
const snoopLookMax = time.Second

// snooper reads the field, which the program may write at any time without a word to us: it is the
// original's interface. One word is written and read, so that either value is a whole one.
//
//go:norace
func (n *Node) snooper() func(m *Message) { return n.Snoop }

// snoop waits until there is somebody to show passing messages to, and shows them. Until then the
// library is not asked for them: they cost their relay a copy.
func (n *Node) snoop() {
	if !n.awaitSnooper() {
		return
	}
	queue := C.mg_queue_create()
	batch := C.mg_batch_create()
	defer C.mg_queue_free(queue)
	defer C.mg_batch_free(batch)
	if !n.watchPassing(queue) {
		return
	}
	names := interner{}
	for C.mg_collect_snooped(batch, queue) > 0 {
		for i := 0; i < int(batch.count); i++ {
			if show := n.snooper(); show != nil {
				show(names.message(batch, i))
			}
		}
	}
}

// awaitSnooper looks for a Snoop, ever less often; false once the node closes.
func (n *Node) awaitSnooper() bool {
	wait := time.Millisecond
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for n.snooper() == nil {
		select {
		case <-n.closing:
			return false
		case <-timer.C:
			wait = min(2*wait, snoopLookMax)
			timer.Reset(wait)
		}
	}
	return true
}

// watchPassing has the library put passing messages into the queue, which is closed after the node.
func (n *Node) watchPassing(queue *C.mg_queue) bool {
	handle, err := n.enter("snoop")
	if err != nil {
		return false
	}
	defer n.leave()
	answer := C.mg_watch_passing(handle, queue)
	if failure("snoop", answer.status, answer.error) != nil {
		return false
	}
	n.passing = queue
	return true
}
