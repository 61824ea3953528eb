package meshage

// #include "shim.h"
import "C"

import (
	"context"
	"sync"
)

// An EventKind is what happened on the mesh.
type EventKind int32

const (
	// EventLinkUp: a direct peer connected.
	EventLinkUp EventKind = C.MESHAGE_EVENT_LINK_UP
	// EventLinkDown: the link to a direct peer is gone.
	EventLinkDown EventKind = C.MESHAGE_EVENT_LINK_DOWN
	// EventNodeJoined: a node became reachable on the mesh.
	EventNodeJoined EventKind = C.MESHAGE_EVENT_NODE_JOINED
	// EventNodeLeft: a node left the mesh, or can no longer be reached.
	EventNodeLeft EventKind = C.MESHAGE_EVENT_NODE_LEFT
	// EventTopology: the effective network changed.
	EventTopology EventKind = C.MESHAGE_EVENT_TOPOLOGY
	// EventNameConflict: two reachable nodes claim this name.
	EventNameConflict EventKind = C.MESHAGE_EVENT_NAME_CONFLICT
	// EventOverflow: events were dropped because nobody took them: look at the mesh anew.
	EventOverflow EventKind = C.MESHAGE_EVENT_OVERFLOW
)

var eventNames = map[EventKind]string{
	EventLinkUp:       "link up",
	EventLinkDown:     "link down",
	EventNodeJoined:   "node joined",
	EventNodeLeft:     "node left",
	EventTopology:     "topology",
	EventNameConflict: "name conflict",
	EventOverflow:     "overflow",
}

// String names the kind.
func (k EventKind) String() string {
	if name, ok := eventNames[k]; ok {
		return name
	}
	return "unknown"
}

// An Event is something that happened on the mesh.
type Event struct {
	// Kind is what happened.
	Kind EventKind
	// Node is the node it is about, "" where it is about none.
	Node string
}

// eventsMax is how many events wait for a subscriber, as in the library; then one EventOverflow
// stands for those that were dropped.
const eventsMax = 4096

// A subscription is somebody who is told of events. Its channel has room for one more, the overflow.
type subscription struct {
	channel chan Event
	// Whether the last thing put there was an overflow.
	overflowed bool
}

// events are the subscriptions of a node.
type events struct {
	mu       sync.Mutex
	all      map[*subscription]func() bool // with what lets go of its context
	watching bool
	ended    bool
}

// Events gives a channel of what happens from now on, each event once and in order. It is closed
// when the context ends or the node closes. Up to 4,096 events wait to be taken, then one
// EventOverflow stands for those that were dropped.
func (n *Node) Events(ctx context.Context) <-chan Event {
	return n.subscribe(ctx, eventsMax).channel
}

func (n *Node) subscribe(ctx context.Context, room int) *subscription {
	s := &subscription{channel: make(chan Event, room+1)}
	handle, err := n.enter("events")
	if err != nil {
		close(s.channel)
		return s
	}
	defer n.leave()
	n.dispatch()
	e := &n.events
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.ended {
		close(s.channel)
		return s
	}
	if e.all == nil {
		e.all = make(map[*subscription]func() bool)
	}
	e.all[s] = context.AfterFunc(ctx, func() { e.remove(s) })
	if !e.watching {
		answer := C.mg_watch_events(handle, n.queue)
		// Where the node is closing, the end of all subscriptions is about to come.
		e.watching = failure("events", answer.status, answer.error) == nil
	}
	return s
}

// tell gives an event to every subscription.
func (e *events) tell(event Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.all {
		// Nobody else puts anything there, so that what room there is stays.
		switch room := cap(s.channel) - len(s.channel); {
		case room > 1:
			s.overflowed = false
			s.channel <- event
		case room == 1 && !s.overflowed:
			s.overflowed = true
			s.channel <- Event{Kind: EventOverflow}
		}
	}
}

func (e *events) remove(s *subscription) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if release, ok := e.all[s]; ok {
		release()
		delete(e.all, s)
		close(s.channel)
	}
}

// end closes every subscription: the node is closed.
func (e *events) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	for s, release := range e.all {
		release()
		delete(e.all, s)
		close(s.channel)
	}
}
