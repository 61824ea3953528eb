package meshage

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"runtime"
	"sync"
	"unsafe"
)

// A sendResult is the result of a send.
type sendResult struct {
	status C.int32_t
	report *C.meshage_report
}

// A pendingSend is a goroutine that waits for the result of its send.
type pendingSend struct {
	token uint64
	done  chan sendResult // has a buffer of one, so that complete never blocks
}

// pendingSends has the sends that goroutines wait for. A token is an index in the list. It is
// reused once its send has completed: the library completes each send exactly once.
type pendingSends struct {
	mu   sync.Mutex
	all  []*pendingSend
	free []*pendingSend
}

// acquire returns a pendingSend with a unique token. Release it after its result was received.
func (p *pendingSends) acquire() *pendingSend {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := len(p.free) - 1; last >= 0 {
		send := p.free[last]
		p.free = p.free[:last]
		return send
	}
	send := &pendingSend{token: uint64(len(p.all)), done: make(chan sendResult, 1)}
	p.all = append(p.all, send)
	return send
}

func (p *pendingSends) release(send *pendingSend) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, send)
}

// complete wakes the goroutine that waits for the send with this token.
func (p *pendingSends) complete(token uint64, result sendResult) {
	p.mu.Lock()
	send := p.all[token]
	p.mu.Unlock()
	send.done <- result
}

// runDispatch passes the items that the library's callbacks put into the queue to their receivers,
// until the node is closed and the queue is empty. It never waits for the application.
func (n *Node) runDispatch() {
	defer C.mg_queue_free(n.queue)
	defer n.events.end()
	for {
		items := C.mg_queue_take(n.queue)
		if items.count == 0 {
			return
		}
		for _, item := range unsafe.Slice(items.data, items.count) {
			switch item.kind {
			case C.MG_SENT:
				n.pending.complete(uint64(item.token), sendResult{item.number, (*C.meshage_report)(item.payload)})
			case C.MG_EVENT:
				event := (*C.mg_event)(item.payload)
				keyIDs := splitText(event.key_ids)
				event.key_ids.data = nil // freed by splitText
				n.events.publish(Event{
					Kind:     EventKind(item.number),
					Node:     C.GoString(event.node),
					Instance: uint64(event.instance),
					Reason:   C.GoString(event.reason),
					Failed:   event.departure == C.MESHAGE_DEPARTURE_FAILED,
					Address:  C.GoString(event.address),
					KeyIDs:   keyIDs,
				})
				C.mg_event_free(event)
			}
		}
		// Let the woken goroutines run first, as in receive.
		runtime.Gosched()
	}
}
