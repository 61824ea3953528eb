package meshage

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"log"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// degreeMax is the library's maximum number of links.
	degreeMax = 256
	// msaTimeoutMin and msaTimeoutMax are the library's limits.
	msaTimeoutMin = 100 * time.Millisecond
	msaTimeoutMax = 24 * time.Hour
)

// A Node is a node of the mesh. All methods may be called from any goroutine at any time.
//
// Messages arrive on the channel that NewNode and Messages return and wait there. When it is full,
// senders wait and finally get ErrBusy. No message is dropped.
type Node struct {
	// Snoop, if set, is called with every message that the node forwards and that is not addressed
	// to it. A separate goroutine makes the calls, one after the other. If the function is too slow,
	// messages are dropped. Set it right after NewNode. A later change takes effect within a
	// second.
	Snoop func(m *Message)

	name     string
	retry    bool
	messages chan *Message
	batch    int
	// Closed when Close starts.
	closing   chan struct{}
	closeOnce sync.Once

	// Locked for reading by every call that uses the handle, and for writing to remove the handle.
	mu     sync.RWMutex
	handle *C.meshage_node // nil once closed

	outstanding  atomic.Int64 // sends that have not completed
	pending      pendingSends
	events       events
	queue        *C.mg_queue
	snoopQueue   *C.mg_queue // snooped messages, once Snoop was set
	dispatchOnce sync.Once
}

// NewNode starts a node and returns it with the channel of its received messages. With a degree
// above 0 the node sends solicitations at once, to the broadcast address (nil: 255.255.255.255) and
// port. A degree above 256 counts as 256. The node listens on the TCP port of the same number, so
// that only one such node can run on a machine. New has an option for more.
//
// If the node cannot start, for example because the port is in use or the name is invalid, NewNode
// calls log.Fatal, which ends the program, because it has no error to return. New returns an error.
func NewNode(name string, namespace string, degree uint, broadcastIP net.IP, port int, version string) (*Node, chan *Message) {
	config := Config{Name: name, Namespace: namespace, Degree: min(degree, degreeMax), Port: port, Version: version}
	if broadcastIP != nil {
		config.Broadcast = []net.IP{broadcastIP}
	}
	if port == 0 {
		config.Port = AnyPort
	}
	node, err := New(config)
	if err != nil {
		log.Fatal(err)
	}
	return node, node.messages
}

// New starts a node. When it returns, the node listens and starts to find links.
//
// Errors: ErrInvalid for an invalid option, ErrAddrInUse, ErrIO.
func New(config Config) (*Node, error) {
	library, err := config.library()
	if err != nil {
		return nil, err
	}
	defer C.meshage_config_free(library)
	var handle *C.meshage_node
	result := C.mg_create(library, &handle)
	if err := failure("new", result.status, result.error); err != nil {
		return nil, err
	}
	buffer := config.ReceiveBuffer
	if buffer == 0 {
		buffer = RECEIVE_BUFFER
	}
	node := &Node{
		Snoop:    config.Snoop,
		name:     config.Name,
		retry:    config.Retry,
		messages: make(chan *Message, buffer),
		batch:    min(buffer, C.MG_BATCH),
		closing:  make(chan struct{}),
		handle:   handle,
		queue:    C.mg_queue_create(),
	}
	go node.receive()
	go node.snoop()
	return node, nil
}

// Close leaves the mesh. Waiting calls return ErrClosed. Outstanding data is flushed and the peers
// are notified, which takes up to 2 s. The channels of messages and events are closed soon after.
// Messages in the receive channel can still be received. Closing a closed node does nothing. The
// error is always nil.
func (n *Node) Close() error {
	n.closeOnce.Do(func() {
		close(n.closing)
		// Only this function removes the handle. All calls that wait in the library are woken.
		C.meshage_node_close(n.handle)
		n.mu.Lock()
		handle := n.handle
		n.handle = nil
		n.mu.Unlock()
		// All callbacks have run when this returns, so the queue is complete.
		C.meshage_node_free(handle)
		if n.snoopQueue != nil {
			C.mg_queue_close(n.snoopQueue)
		}
		if !n.dispatchStarted() {
			C.mg_queue_free(n.queue)
			n.events.end()
			return
		}
		C.mg_queue_close(n.queue)
	})
	return nil
}

// enter returns the handle for one call. The caller must call leave afterwards.
func (n *Node) enter(op string) (*C.meshage_node, error) {
	n.mu.RLock()
	if n.handle == nil {
		n.mu.RUnlock()
		return nil, &OpError{Op: op, Err: ErrClosed}
	}
	return n.handle, nil
}

func (n *Node) leave() { n.mu.RUnlock() }

// dispatch starts, on its first call, the goroutine that takes the results of the library's
// callbacks. The caller must have called enter.
func (n *Node) dispatch() {
	n.dispatchOnce.Do(func() { go n.runDispatch() })
}

// dispatchStarted reports whether that goroutine was started. If not, it cannot be started any
// more. Only Close calls it.
func (n *Node) dispatchStarted() bool {
	started := true
	n.dispatchOnce.Do(func() { started = false })
	return started
}

// Name returns the node's name.
func (n *Node) Name() string { return n.name }

// Port returns the TCP port that the node listens on; 0 once it is closed.
func (n *Node) Port() int {
	handle, err := n.enter("port")
	if err != nil {
		return 0
	}
	defer n.leave()
	return int(C.meshage_node_port(handle))
}

// GetDegree returns the number of links that the node looks for.
func (n *Node) GetDegree() uint {
	handle, err := n.enter("degree")
	if err != nil {
		return 0
	}
	defer n.leave()
	return uint(C.meshage_node_degree(handle))
}

// SetDegree sets the number of links that the node looks for. A degree above 256 counts as 256.
// With fewer links the node starts to send solicitations. Existing links stay.
func (n *Node) SetDegree(degree uint) {
	handle, err := n.enter("degree")
	if err != nil {
		return
	}
	defer n.leave()
	C.meshage_node_set_degree(handle, C.uint32_t(min(degree, degreeMax)))
}

// GetMSATimeout returns the interval at which the node compares what it knows of the mesh with its
// peers.
func (n *Node) GetMSATimeout() time.Duration {
	handle, err := n.enter("MSA timeout")
	if err != nil {
		return 0
	}
	defer n.leave()
	return time.Duration(C.meshage_node_msa_timeout(handle)) * time.Millisecond
}

// SetMSATimeout sets the interval at which the node compares what it knows of the mesh with its
// peers, in seconds. 0 counts as a tenth of a second, and more than a day as a day.
func (n *Node) SetMSATimeout(timeout uint) {
	handle, err := n.enter("MSA timeout")
	if err != nil {
		return
	}
	defer n.leave()
	period := time.Duration(min(timeout, uint(msaTimeoutMax/time.Second))) * time.Second
	C.meshage_node_set_msa_timeout(handle, C.int32_t(max(period, msaTimeoutMin)/time.Millisecond))
}

// MSA announces the node's links to the mesh now. The library does this by itself when they change.
func (n *Node) MSA() {
	handle, err := n.enter("MSA")
	if err != nil {
		return
	}
	defer n.leave()
	C.meshage_node_msa(handle)
}

// LibraryVersion returns the version of the loaded library, such as "0.1.0".
func LibraryVersion() string {
	// The library's text is static.
	return C.GoString(C.meshage_version())
}
