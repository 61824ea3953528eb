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

// Mesh returns the topology that the node knows, itself included.
func (n *Node) Mesh() mesh {
	fields := n.query(func(handle *C.meshage_node) C.mg_result { return C.mg_mesh(handle) })
	topology := make(mesh)
	for len(fields) > 0 {
		node := fields[0]
		fields = fields[1:]
		neighbors := []string{}
		for len(fields) > 0 && fields[0] != "" {
			neighbors = append(neighbors, fields[0])
			fields = fields[1:]
		}
		topology[node] = neighbors
		if len(fields) > 0 {
			fields = fields[1:]
		}
	}
	return topology
}

// Dot returns the topology in the DOT language of Graphviz.
func (n *Node) Dot() string {
	fields := n.query(func(handle *C.meshage_node) C.mg_result { return C.mg_dot(handle) })
	if len(fields) == 0 {
		return ""
	}
	return fields[0]
}

// BroadcastRecipients returns the nodes that a broadcast would be sent to now, sorted. The node
// itself is not included.
func (n *Node) BroadcastRecipients() []string {
	return n.query(func(handle *C.meshage_node) C.mg_result { return C.mg_recipients(handle) })
}

// Peers returns the nodes that this node has links to, sorted.
func (n *Node) Peers() []string {
	return n.query(func(handle *C.meshage_node) C.mg_result { return C.mg_peers(handle) })
}

// Stats returns the current values of the node's counters, by name.
func (n *Node) Stats() map[string]uint64 {
	fields := n.query(func(handle *C.meshage_node) C.mg_result { return C.mg_stats(handle) })
	counters := make(map[string]uint64, len(fields)/2)
	for i := 0; i+1 < len(fields); i += 2 {
		// The shim formats the number, so it is valid.
		counters[fields[i]], _ = strconv.ParseUint(fields[i+1], 10, 64)
	}
	return counters
}

// query calls a library function that returns strings. It returns none once the node is closed.
func (n *Node) query(call func(*C.meshage_node) C.mg_result) []string {
	handle, err := n.enter("query")
	if err != nil {
		return nil
	}
	defer n.leave()
	result := call(handle)
	fields := splitText(result.text)
	if failure("query", result.status, result.error) != nil {
		return nil
	}
	return fields
}

// Dial links the node to the node that listens at "host", "host:port" or "[v6]:port". The default
// port is the node's own. A link-local address has a zone: "fe80::1%eth0". It returns when the link is established, or after the node's timeout.
//
// Errors: ErrInvalid, ErrRefused, ErrTimeout, ErrSelf, ErrExists (already linked, or the peer's
// name is in use), ErrProtocol, ErrIO, ErrClosed.
func (n *Node) Dial(addr string) error {
	return n.dial(addr, C.MESHAGE_DEFAULT)
}

// DialContext is Dial with a context. The context's deadline, if it has one, replaces the node's
// timeout. When the context ends earlier, DialContext returns at once. The attempt continues in the
// background and may still establish a link.
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
	result := C.mg_dial(handle, address, timeout)
	return failure("dial", result.status, result.error)
}

// Hangup closes the link to a peer, by its name. The node may later link to the same or to another
// peer by itself. The error is ErrNotFound if there is no such link.
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
	result := C.mg_hangup(handle, peer)
	return failure("hangup", result.status, result.error)
}

// WaitFor waits until all of the named nodes are reachable, or until the context ends.
func (n *Node) WaitFor(ctx context.Context, names ...string) error {
	packed, err := pack("wait", names)
	if err != nil {
		return err
	}
	defer packed.put()
	ctx, done := context.WithCancel(ctx)
	defer done()
	// A node that joins between two checks leaves an event. One event is enough to check again.
	changes := n.subscribe(ctx, 1)
	for {
		err := n.checkReachable(packed, len(names))
		if err == nil || err.(*OpError).Err != ErrAgain {
			return err
		}
		select {
		case _, ok := <-changes.channel:
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

// checkReachable checks whether all of the named nodes are reachable now. If not, the error is
// ErrAgain.
func (n *Node) checkReachable(names *packer, count int) error {
	handle, err := n.enter("wait")
	if err != nil {
		return err
	}
	defer n.leave()
	result := C.mg_wait_now(handle, names.pointer(), C.size_t(count))
	return failure("wait", result.status, result.error)
}
