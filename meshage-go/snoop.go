package meshage

// #include "shim.h"
import "C"

import "time"

// snoopPollMax is the longest interval between two checks for a Snoop that is set late.
const snoopPollMax = time.Second

// snooper reads the Snoop field, which the program may write at any time without synchronization:
// it is part of the original's interface. The value is one machine word, so it is never torn.
//
//go:norace
func (n *Node) snooper() func(m *Message) { return n.Snoop }

// snoop waits until Snoop is set and then calls it with passing messages. Until then the library is
// not asked for these messages, because each costs the relay a copy.
func (n *Node) snoop() {
	if !n.awaitSnooper() {
		return
	}
	queue := C.mg_queue_create()
	batch := C.mg_batch_create()
	defer C.mg_queue_free(queue)
	defer C.mg_batch_free(batch)
	if !n.watchSnoop(queue) {
		return
	}
	names := interner{}
	for C.mg_batch_take_snooped(batch, queue) > 0 {
		for i := 0; i < int(batch.count); i++ {
			if snoop := n.snooper(); snoop != nil {
				snoop(names.message(batch, i))
			}
		}
	}
}

// awaitSnooper polls for a Snoop at growing intervals. It returns false once the node closes.
func (n *Node) awaitSnooper() bool {
	wait := time.Millisecond
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for n.snooper() == nil {
		select {
		case <-n.closing:
			return false
		case <-timer.C:
			wait = min(2*wait, snoopPollMax)
			timer.Reset(wait)
		}
	}
	return true
}

// watchSnoop makes the library put passing messages into the queue, which is closed after the node.
func (n *Node) watchSnoop(queue *C.mg_queue) bool {
	handle, err := n.enter("snoop")
	if err != nil {
		return false
	}
	defer n.leave()
	result := C.mg_watch_snoop(handle, queue)
	if failure("snoop", result.status, result.error) != nil {
		return false
	}
	n.snoopQueue = queue
	return true
}
