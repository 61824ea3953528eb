package meshage

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"context"
	"strconv"
	"unsafe"
)

// mesh is a topology as an adjacency list: every node with its neighbours, sorted.
type mesh map[string][]string

// Mesh returns the topology as the node knows it, itself included.
func (n *Node) Mesh() mesh {
	said := n.ask(func(handle *C.meshage_node) C.mg_answer { return C.mg_mesh(handle) })
	topology := make(mesh)
	for len(said) > 0 {
		node := said[0]
		said = said[1:]
		neighbors := []string{}
		for len(said) > 0 && said[0] != "" {
			neighbors = append(neighbors, said[0])
			said = said[1:]
		}
		topology[node] = neighbors
		if len(said) > 0 {
			said = said[1:]
		}
	}
	return topology
}

// Dot returns the topology in Graphviz's language.
func (n *Node) Dot() string {
	said := n.ask(func(handle *C.meshage_node) C.mg_answer { return C.mg_dot(handle) })
	if len(said) == 0 {
		return ""
	}
	return said[0]
}

// BroadcastRecipients returns the nodes that a broadcast would go to now, sorted. The node itself is
// none of them.
func (n *Node) BroadcastRecipients() []string {
	return n.ask(func(handle *C.meshage_node) C.mg_answer { return C.mg_recipients(handle) })
}

// Peers returns the nodes it has links to, sorted.
func (n *Node) Peers() []string {
	return n.ask(func(handle *C.meshage_node) C.mg_answer { return C.mg_peers(handle) })
}

// Stats returns the node's counters at this moment, by name.
func (n *Node) Stats() map[string]uint64 {
	said := n.ask(func(handle *C.meshage_node) C.mg_answer { return C.mg_stats(handle) })
	counters := make(map[string]uint64, len(said)/2)
	for i := 0; i+1 < len(said); i += 2 {
		// The shim wrote the number.
		counters[said[i]], _ = strconv.ParseUint(said[i+1], 10, 64)
	}
	return counters
}

// ask asks the library for words; none once the node is closed.
func (n *Node) ask(call func(*C.meshage_node) C.mg_answer) []string {
	handle, err := n.enter("ask")
	if err != nil {
		return nil
	}
	defer n.leave()
	answer := call(handle)
	said := words(answer.text)
	if failure("ask", answer.status, answer.error) != nil {
		return nil
	}
	return said
}

// Dial links the node to the one that listens at "host", "host:port" or "[v6]:port"; without a port,
// at the node's own. It returns when the link is there, or after the node's timeout.
//
// Errors: ErrInvalid, ErrRefused, ErrTimeout, ErrSelf, ErrExists (already linked, or the other's name
// is taken), ErrProtocol, ErrIO, ErrClosed.
func (n *Node) Dial(addr string) error {
	return n.dial(addr, C.MESHAGE_DEFAULT)
}

// DialContext is Dial with a context: its deadline, where it has one, takes the place of the node's
// timeout. When it ends earlier, this returns at once; the attempt ends in its own time, and may
// still lead to a link.
func (n *Node) DialContext(ctx context.Context, addr string) error {
	timeout, err := timeoutOf(ctx)
	if err != nil {
		return &OpError{Op: "dial", Err: err}
	}
	if ctx.Done() == nil {
		return n.dial(addr, timeout)
	}
	dialed := make(chan error, 1)
	go func() { dialed <- n.dial(addr, timeout) }()
	select {
	case err := <-dialed:
		return err
	case <-ctx.Done():
		return &OpError{Op: "dial", Err: context.Cause(ctx)}
	}
}

func (n *Node) dial(addr string, timeout C.int32_t) error {
	address, err := cString("dial", "address", addr)
	if err != nil {
		return err
	}
	defer C.free(unsafe.Pointer(address))
	handle, err := n.enter("dial")
	if err != nil {
		return err
	}
	defer n.leave()
	answer := C.mg_dial(handle, address, timeout)
	return failure("dial", answer.status, answer.error)
}

// Hangup closes the link to a peer, by its name. The node may find another, or the same, by itself
// again. ErrNotFound where there is no such link.
func (n *Node) Hangup(host string) error {
	peer, err := cString("hangup", "name", host)
	if err != nil {
		return err
	}
	defer C.free(unsafe.Pointer(peer))
	handle, err := n.enter("hangup")
	if err != nil {
		return err
	}
	defer n.leave()
	answer := C.mg_hangup(handle, peer)
	return failure("hangup", answer.status, answer.error)
}

// WaitFor waits until all these nodes can be reached, or until the context ends.
func (n *Node) WaitFor(ctx context.Context, names ...string) error {
	packed, err := pack("wait", names)
	if err != nil {
		return err
	}
	defer packed.put()
	ctx, done := context.WithCancel(ctx)
	defer done()
	// Whoever joins between two looks has left an event: one is enough to look again.
	happened := n.subscribe(ctx, 1)
	for {
		err := n.reach(packed, len(names))
		if err == nil || err.(*OpError).Err != ErrAgain {
			return err
		}
		select {
		case _, ok := <-happened.channel:
			if ok {
				continue
			}
		case <-ctx.Done():
		}
		if ctx.Err() != nil {
			return &OpError{Op: "wait", Err: context.Cause(ctx), Detail: err.(*OpError).Detail + ": " + context.Cause(ctx).Error()}
		}
		return &OpError{Op: "wait", Err: ErrClosed}
	}
}

// reach looks whether all these nodes can be reached now: ErrAgain if not.
func (n *Node) reach(names *packer, count int) error {
	handle, err := n.enter("wait")
	if err != nil {
		return err
	}
	defer n.leave()
	answer := C.mg_wait_now(handle, names.pointer(), C.size_t(count))
	return failure("wait", answer.status, answer.error)
}
