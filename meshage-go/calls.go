package meshage

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"runtime"
	"sync"
	"unsafe"
)

// An end is what became of a send.
type end struct {
	status C.int32_t
	report *C.meshage_report
}

// A call is a goroutine that waits for the end of its send.
type call struct {
	token uint64
	done  chan end // holds one, so that nobody waits to put it there
}

// calls has those that wait. A token is a place in the list, and is used again once its call has
// ended: the library ends each once.
type calls struct {
	mu   sync.Mutex
	all  []*call
	free []*call
}

// take gives a call with a token of its own; give it back after its end.
func (c *calls) take() *call {
	c.mu.Lock()
	defer c.mu.Unlock()
	if last := len(c.free) - 1; last >= 0 {
		taken := c.free[last]
		c.free = c.free[:last]
		return taken
	}
	made := &call{token: uint64(len(c.all)), done: make(chan end, 1)}
	c.all = append(c.all, made)
	return made
}

func (c *calls) give(back *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.free = append(c.free, back)
}

// end wakes the one that waits under a token.
func (c *calls) end(token uint64, with end) {
	c.mu.Lock()
	ended := c.all[token]
	c.mu.Unlock()
	ended.done <- with
}

// runDispatch takes what the library's callbacks have left in the queue to whom it is for, until the
// node is closed and the queue is empty. It never waits for the application.
func (n *Node) runDispatch() {
	defer C.mg_queue_free(n.queue)
	defer n.events.end()
	for {
		items := C.mg_collect(n.queue)
		if items.count == 0 {
			return
		}
		for _, item := range unsafe.Slice(items.data, items.count) {
			switch item.kind {
			case C.MG_SENT:
				n.calls.end(uint64(item.token), end{item.number, (*C.meshage_report)(item.thing)})
			case C.MG_EVENT:
				node := C.GoString((*C.char)(item.thing))
				C.free(item.thing)
				n.events.tell(Event{Kind: EventKind(item.number), Node: node})
			}
		}
		// Whoever was woken runs first, as in receive.
		runtime.Gosched()
	}
}
