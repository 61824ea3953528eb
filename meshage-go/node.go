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
	// degreeMax is how many links the library keeps at most.
	degreeMax = 256
	// msaTimeoutMin and msaTimeoutMax are what the library takes.
	msaTimeoutMin = 100 * time.Millisecond
	msaTimeoutMax = 24 * time.Hour
)

// A Node is a participant of the mesh. Every method may be called from any goroutine at any time.
//
// Messages come through the channel that NewNode gives and Messages returns. What nobody takes waits
// there; when it is full, senders wait, and are told ErrBusy in the end. Nothing is dropped.
type Node struct {
	// Snoop, where it is set, is called with every message that passes through the node and is not
	// for it, from a goroutine of its own, one after the other. Where it is slow, messages are
	// dropped. Set it right after NewNode; one that is set later is seen within a second.
	Snoop func(m *Message)

	name     string
	messages chan *Message
	batch    int
	// Closed when Close begins.
	closing   chan struct{}
	closeOnce sync.Once

	// Held for reading by every call that uses the handle, and for writing to take it away.
	mu     sync.RWMutex
	handle *C.meshage_node // nil once closed

	underWay     atomic.Int64 // sends that wait
	calls        calls
	events       events
	queue        *C.mg_queue
	passing      *C.mg_queue // of snooped messages, once there is a snooper
	dispatchOnce sync.Once
}

// NewNode starts a node and gives it with the channel of the messages it receives. With a degree
// above 0 it begins at once to look for links, at the broadcast address (nil: 255.255.255.255) and
// port; a degree above 256 counts as 256. It listens on the TCP port of this number, so that one
// such node runs on a machine: New has an option for more.
//
// Where the node cannot start, since the port is taken or the name is none, it writes why with
// log.Fatal, which ends the program, since it has no error to return; New returns one.
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

// New starts a node: it listens when this returns, and finds its links by itself from then on.
//
// Errors: ErrInvalid for an option that cannot be used, ErrAddrInUse, ErrIO.
func New(config Config) (*Node, error) {
	library, err := config.library()
	if err != nil {
		return nil, err
	}
	defer C.meshage_config_free(library)
	var handle *C.meshage_node
	answer := C.mg_create(library, &handle)
	if err := failure("new", answer.status, answer.error); err != nil {
		return nil, err
	}
	buffer := config.ReceiveBuffer
	if buffer == 0 {
		buffer = RECEIVE_BUFFER
	}
	node := &Node{
		Snoop:    config.Snoop,
		name:     config.Name,
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

// Close leaves the mesh: calls that wait return ErrClosed, what is under way is flushed and the
// peers are told, in up to 2 s. The channels of messages and events are closed soon after; what the
// receive channel holds can still be taken. Closing again does nothing. The error is always nil.
func (n *Node) Close() error {
	n.closeOnce.Do(func() {
		close(n.closing)
		// Nobody but this function takes the handle away. Whoever waits in the library wakes.
		C.meshage_node_close(n.handle)
		n.mu.Lock()
		handle := n.handle
		n.handle = nil
		n.mu.Unlock()
		// Every callback has run when this returns, so that the queue is complete.
		C.meshage_node_free(handle)
		if n.passing != nil {
			C.mg_queue_close(n.passing)
		}
		if !n.dispatches() {
			C.mg_queue_free(n.queue)
			n.events.end()
			return
		}
		C.mg_queue_close(n.queue)
	})
	return nil
}

// enter gives the handle for one call; leave follows.
func (n *Node) enter(op string) (*C.meshage_node, error) {
	n.mu.RLock()
	if n.handle == nil {
		n.mu.RUnlock()
		return nil, &OpError{Op: op, Err: ErrClosed}
	}
	return n.handle, nil
}

func (n *Node) leave() { n.mu.RUnlock() }

// dispatch lets the goroutine run that takes what the library calls back with, from the first use
// on. The caller has entered.
func (n *Node) dispatch() {
	n.dispatchOnce.Do(func() { go n.runDispatch() })
}

// dispatches tells whether that goroutine was ever needed; if not, it never will be. Only for Close.
func (n *Node) dispatches() bool {
	did := true
	n.dispatchOnce.Do(func() { did = false })
	return did
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

// GetDegree returns how many links the node wants.
func (n *Node) GetDegree() uint {
	handle, err := n.enter("degree")
	if err != nil {
		return 0
	}
	defer n.leave()
	return uint(C.meshage_node_degree(handle))
}

// SetDegree makes the node want so many links from now on; above 256 it counts as 256. With fewer it
// begins to look for others; links that are there stay.
func (n *Node) SetDegree(degree uint) {
	handle, err := n.enter("degree")
	if err != nil {
		return
	}
	defer n.leave()
	C.meshage_node_set_degree(handle, C.uint32_t(min(degree, degreeMax)))
}

// GetMSATimeout returns how often the node announces its links though nothing changed.
func (n *Node) GetMSATimeout() time.Duration {
	handle, err := n.enter("MSA timeout")
	if err != nil {
		return 0
	}
	defer n.leave()
	return time.Duration(C.meshage_node_msa_timeout(handle)) * time.Millisecond
}

// SetMSATimeout announces so often from now on, in seconds. 0 counts as a tenth of a second, more
// than a day as a day.
func (n *Node) SetMSATimeout(timeout uint) {
	handle, err := n.enter("MSA timeout")
	if err != nil {
		return
	}
	defer n.leave()
	period := time.Duration(min(timeout, uint(msaTimeoutMax/time.Second))) * time.Second
	C.meshage_node_set_msa_timeout(handle, C.int32_t(max(period, msaTimeoutMin)/time.Millisecond))
}

// MSA announces the node's links to the mesh now. The library does it by itself when they change.
func (n *Node) MSA() {
	handle, err := n.enter("MSA")
	if err != nil {
		return
	}
	defer n.leave()
	C.meshage_node_msa(handle)
}

// LibraryVersion returns the version of the library that runs, such as "0.1.0".
func LibraryVersion() string {
	// The library keeps the text as long as the program runs.
	return C.GoString(C.meshage_version())
}
