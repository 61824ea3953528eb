package meshage

// #include "shim.h"
import "C"

import (
	"context"
	"sync"
)

// An EventKind is the kind of an event.
type EventKind int32

const (
	// EventLinkUp: a link to a peer was established.
	EventLinkUp EventKind = C.MESHAGE_EVENT_LINK_UP
	// EventLinkDown: the link to a peer was closed or broke.
	EventLinkDown EventKind = C.MESHAGE_EVENT_LINK_DOWN
	// EventNodeJoined: a node became reachable on the mesh.
	EventNodeJoined EventKind = C.MESHAGE_EVENT_NODE_JOINED
	// EventNodeLeft: a node left the mesh or became unreachable.
	EventNodeLeft EventKind = C.MESHAGE_EVENT_NODE_LEFT
	// EventTopology: the effective network changed.
	EventTopology EventKind = C.MESHAGE_EVENT_TOPOLOGY
	// EventNameConflict: two reachable nodes have the same name.
	EventNameConflict EventKind = C.MESHAGE_EVENT_NAME_CONFLICT
	// EventOverflow: the queue was full and events were dropped. Read the mesh again.
	EventOverflow EventKind = C.MESHAGE_EVENT_OVERFLOW
	// EventDiscoveryFailed: no solicitation can be sent, so that no other node can be found. Reason
	// has the cause. The node goes on trying.
	EventDiscoveryFailed EventKind = C.MESHAGE_EVENT_DISCOVERY_FAILED
	// EventKeyMismatch: a node has none of this node's keys, or does not encrypt, so there is no
	// link to it. Address and KeyIDs say which. At most one event a minute for each address.
	EventKeyMismatch EventKind = C.MESHAGE_EVENT_KEY_MISMATCH
	// EventRevoked: the ticket of the node was revoked, or has ended. It can no longer join.
	EventRevoked EventKind = C.MESHAGE_EVENT_REVOKED
)

var eventNames = map[EventKind]string{
	EventLinkUp:          "link up",
	EventLinkDown:        "link down",
	EventNodeJoined:      "node joined",
	EventNodeLeft:        "node left",
	EventTopology:        "topology",
	EventNameConflict:    "name conflict",
	EventOverflow:        "overflow",
	EventDiscoveryFailed: "discovery failed",
	EventKeyMismatch:     "key mismatch",
	EventRevoked:         "revoked",
}

// String returns the name of the kind.
func (k EventKind) String() string {
	if name, ok := eventNames[k]; ok {
		return name
	}
	return "unknown"
}

// An Event is a change on the mesh.
type Event struct {
	// Kind is the kind of the event.
	Kind EventKind
	// Node is the node that the event concerns, "" if none.
	Node string
	// Instance is the instance of that node: a node that was restarted has another one. 0 if the
	// event concerns no single life of a node.
	Instance uint64
	// Reason says in words why the event happened: why a link ended, how a node departed, why
	// discovery failed. "" for other events. The texts may change.
	Reason string
	// Failed, for EventNodeLeft, reports that the node can no longer be reached: it failed, or the
	// network between did. It is false for a node that was closed and announced that it leaves.
	Failed bool
	// Address, for EventKeyMismatch, is the address of the other node.
	Address string
	// KeyIDs, for EventKeyMismatch, are the ids of the keys that the other node named; none if it
	// does not encrypt.
	KeyIDs []string
}

// eventsMax is the most events that wait for a subscriber, as in the library. After that, one
// EventOverflow stands for the events that were dropped.
const eventsMax = 4096

// A subscription receives events. Its channel has room for one extra event, the overflow.
type subscription struct {
	channel chan Event
	// Whether the last event in the channel is an overflow.
	overflowed bool
}

// events are the subscriptions of a node.
type events struct {
	mu       sync.Mutex
	all      map[*subscription]func() bool // the value stops watching the context
	watching bool
	ended    bool
}

// Events returns a channel of the events from now on, each event once and in order. It is closed
// when the context ends or the node closes. Up to 4,096 events wait in the channel. After that, one
// EventOverflow stands for the events that were dropped.
//
// To know the whole mesh from the start, call Events first and Mesh afterwards: what changes in
// between is in both, and nothing is missed. So a node that joins may be known already, and one
// that left may be unknown.
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
		result := C.mg_watch_events(handle, n.queue)
		// If the node is closing, all subscriptions are about to end.
		e.watching = failure("events", result.status, result.error) == nil
	}
	return s
}

// publish sends an event to every subscription.
func (e *events) publish(event Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for s := range e.all {
		// Nothing else sends to the channel, so this room cannot disappear.
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
	if stop, ok := e.all[s]; ok {
		stop()
		delete(e.all, s)
		close(s.channel)
	}
}

// end closes every subscription when the node is closed.
func (e *events) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ended = true
	for s, stop := range e.all {
		stop()
		delete(e.all, s)
		close(s.channel)
	}
}
