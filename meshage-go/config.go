package meshage

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"math"
	"net"
	"runtime"
	"time"
	"unsafe"
)

const (
	// AnyPort, as a port, selects any free port.
	AnyPort = -1
	// Forever, as a timeout, waits without a limit.
	Forever time.Duration = -1
	// AtOnce, as a timeout, does not wait. A message is sent, and its outcome is ErrTimeout, which
	// says that it is unknown, unless it is known at once: ErrNoRoute, or ErrBusy if the node's own
	// queue is full. It is never a success. The message stays on its way for up to 10 s; Close
	// flushes it.
	AtOnce time.Duration = -2
)

// A Config has the options of a node. Only the name is required. Each other option has a default.
type Config struct {
	// Name is the node's name, unique on the mesh: 1 to 64 bytes of [A-Za-z0-9._-].
	Name string
	// Namespace is the node's namespace. Only nodes of the same namespace discover each other. 0 to
	// 64 bytes of [A-Za-z0-9._-]. The empty namespace is valid too.
	Namespace string
	// Degree is the number of links that the node looks for, up to 256. With fewer links it sends
	// solicitations. With 0 it sends none.
	Degree uint
	// Broadcast has the addresses to which solicitations are sent. Default: 255.255.255.255. It and
	// IPv6 multicast addresses such as ff02::1 stand for every network that this machine is
	// connected to: the node sends once on each of them. Any other address is used as it is.
	// 127.255.255.255 reaches the nodes of this machine only.
	Broadcast []net.IP
	// Interfaces are the names of the interfaces to send solicitations on. Default: all that are
	// up. One that does not exist when the node starts is used as soon as it does.
	Interfaces []string
	// Bind is the address to listen on, and to solicit from. Default: 0.0.0.0, or :: if an address
	// in Broadcast is an IPv6 address. :: accepts IPv4 and IPv6.
	Bind net.IP
	// BindZone is the interface of a link-local Bind address (fe80::…), by name.
	BindZone string
	// Port is the port of the mesh, TCP and UDP. Default: DefaultPort. With AnyPort the node
	// listens on any free TCP port and receives no solicitations.
	Port int
	// ListenPort is the TCP port alone, so that several nodes can share a machine. AnyPort selects
	// any free port. Default: Port.
	ListenPort int
	// Version is the application's version, at most 256 bytes. For a peer with another version the
	// node logs a warning; there is no other effect.
	Version string
	// Timeout is how long a send and a dial wait if their context has no deadline, in whole
	// milliseconds. Forever waits without a limit, and AtOnce does not wait (a dial then fails with
	// ErrAgain). Default: DEFAULT_TIMEOUT seconds.
	Timeout time.Duration
	// Retry makes every send of the node retry, as SendOptions.Retry does for one.
	Retry bool
	// MSATimeout is the interval at which the node compares what it knows of the mesh with its peers:
	// 100 ms to one day. Changes are announced at once.
	// Default: DEFAULT_MSA_TIMEOUT seconds.
	MSATimeout time.Duration
	// ReceiveBuffer is the capacity of the receive channel in messages, up to 1,048,576. The
	// library's queue behind it holds as many again. When both are full, senders wait. Default:
	// RECEIVE_BUFFER.
	ReceiveBuffer int
	// MaxMessage is the largest body that the node sends or receives, in bytes, up to 1 GiB.
	// Default: 64 MiB.
	MaxMessage int
	// WorkerThreads is the number of I/O threads of the node, up to 64. Default: 1.
	WorkerThreads int
	// Seeds are addresses ("host", "host:port", "[v6]:port", "fe80::1%eth0") that the node dials until it is
	// linked, and again whenever the link breaks.
	Seeds []string
	// Keys are pre-shared keys, and close the mesh: only nodes that have one of them can link to
	// this node. The first is the primary one, which opens new links; all are accepted. A key is 32
	// bytes, or its text: 64 hex digits or base64. GenerateKey makes one. The library keeps no copy
	// of a key. Without keys and KeyFile the node is open.
	Keys [][]byte
	// KeyFile is a file with keys as text, one a line, after those in Keys. Only its owner may have
	// the right to read it.
	KeyFile string
	// IdentityFile is the file of the node's identity, which only its owner may have the right to
	// read. Default: an identity for this run.
	IdentityFile string
	// Root is the public key of the mesh's root: nodes with a ticket that it signed may join, under
	// the name in their ticket. The node needs an IdentityFile too.
	Root []byte
	// TicketFile is the file of the node's ticket.
	TicketFile string
	// Allow has the public keys of the nodes that may join, by name. The node needs an IdentityFile
	// too.
	Allow map[string][]byte
	// Signed makes the node sign its announcements, and require that all others are signed. Every
	// node of the mesh needs the same value.
	Signed bool
	// Snoop is the initial value of the node's Snoop field.
	Snoop func(m *Message)
}

// setter applies options to the library's configuration until one is rejected.
type setter struct {
	config *C.meshage_config
	err    error
}

func (s *setter) check(status C.meshage_status) {
	if s.err == nil {
		result := C.mg_result_of(status)
		s.err = failure("new", result.status, result.error)
	}
}

// number sets a numeric option. The zero value stands for the default.
func (s *setter) number(what string, value, max int64, set func() C.meshage_status) {
	if s.err != nil || value == 0 {
		return
	}
	if value < 0 || value > max {
		s.err = &OpError{Op: "new", Err: ErrInvalid, Detail: what + " is out of range"}
		return
	}
	s.check(set())
}

// text sets a string option. The library copies the string.
func (s *setter) text(what, value string, set func(*C.char) C.meshage_status) {
	if s.err != nil {
		return
	}
	copied, err := cString("new", what, value)
	if err != nil {
		s.err = err
		return
	}
	defer C.free(unsafe.Pointer(copied))
	s.check(set(copied))
}

// file sets an option that is a path. "" stands for the default.
func (s *setter) file(what, path string, set func(*C.char) C.meshage_status) {
	if path != "" {
		s.text(what, path, set)
	}
}

// bytes sets an option that is a key.
func (s *setter) bytes(value []byte, set func(*C.uint8_t, C.size_t) C.meshage_status) {
	if s.err == nil {
		s.check(set(octets(value), C.size_t(len(value))))
	}
}

// octets returns the address of bytes for a call of the library, which is not NULL even if there are
// none.
func octets(value []byte) *C.uint8_t {
	if value == nil {
		value = []byte{}
	}
	return (*C.uint8_t)(unsafe.Pointer(unsafe.SliceData(value)))
}

// port sets a port option, which may be AnyPort.
func (s *setter) port(what string, port int, set func(C.uint16_t) C.meshage_status) {
	if port == AnyPort {
		s.check(set(0))
		return
	}
	s.number(what, int64(port), math.MaxUint16, func() C.meshage_status { return set(C.uint16_t(port)) })
}

// time sets a duration option, which may be Forever or AtOnce.
func (s *setter) time(what string, value time.Duration, set func(C.int32_t) C.meshage_status) {
	switch value {
	case Forever:
		s.check(set(C.MESHAGE_INFINITE))
		return
	case AtOnce:
		s.check(set(0))
		return
	}
	ms := milliseconds(value)
	s.number(what, ms, math.MaxInt32, func() C.meshage_status { return set(C.int32_t(ms)) })
}

// milliseconds rounds a duration up, away from zero, so that only a duration of 0 is 0.
func milliseconds(value time.Duration) int64 {
	ms := int64(value / time.Millisecond)
	switch remainder := value % time.Millisecond; {
	case remainder > 0:
		ms++
	case remainder < 0:
		ms--
	}
	return ms
}

// addresses adds the strings of an option one by one.
func (s *setter) addresses(what string, values []string, add func(*C.char) C.meshage_status) {
	for _, value := range values {
		s.text(what, value, add)
	}
}

// library creates the library's configuration. The caller frees it.
func (c *Config) library() (*C.meshage_config, error) {
	name, err := cString("new", "name", c.Name)
	if err != nil {
		return nil, err
	}
	defer C.free(unsafe.Pointer(name))
	config := C.meshage_config_create(name)
	if config == nil {
		return nil, &OpError{Op: "new", Err: ErrInvalid, Detail: "the name is not UTF-8"}
	}
	s := setter{config: config}
	// The text of an error belongs to the thread of the call.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	c.apply(&s)
	c.secure(&s)
	if s.err != nil {
		C.meshage_config_free(config)
		return nil, s.err
	}
	return config, nil
}

func (c *Config) apply(s *setter) {
	config := s.config
	s.text("namespace", c.Namespace, func(text *C.char) C.meshage_status {
		return C.meshage_config_namespace(config, text)
	})
	s.number("degree", int64(min(c.Degree, math.MaxInt32)), math.MaxInt32, func() C.meshage_status {
		return C.meshage_config_degree(config, C.uint32_t(c.Degree))
	})
	s.addresses("broadcast", ips(c.Broadcast), func(text *C.char) C.meshage_status {
		return C.meshage_config_broadcast(config, text)
	})
	s.addresses("interface", c.Interfaces, func(text *C.char) C.meshage_status {
		return C.meshage_config_interface(config, text)
	})
	if c.Bind != nil {
		s.text("bind", zoned(c.Bind, c.BindZone), func(text *C.char) C.meshage_status {
			return C.meshage_config_bind(config, text)
		})
	}
	s.port("port", c.Port, func(port C.uint16_t) C.meshage_status {
		return C.meshage_config_port(config, port)
	})
	s.port("listen port", c.ListenPort, func(port C.uint16_t) C.meshage_status {
		return C.meshage_config_listen_port(config, port)
	})
	s.text("version", c.Version, func(text *C.char) C.meshage_status {
		return C.meshage_config_version(config, text)
	})
	s.time("timeout", c.Timeout, func(ms C.int32_t) C.meshage_status {
		return C.meshage_config_timeout(config, ms)
	})
	s.time("MSA timeout", c.MSATimeout, func(ms C.int32_t) C.meshage_status {
		return C.meshage_config_msa_timeout(config, ms)
	})
	s.number("receive buffer", int64(c.ReceiveBuffer), math.MaxInt32, func() C.meshage_status {
		return C.meshage_config_receive_buffer(config, C.size_t(c.ReceiveBuffer))
	})
	s.number("largest message", int64(c.MaxMessage), math.MaxInt64, func() C.meshage_status {
		return C.meshage_config_max_message(config, C.size_t(c.MaxMessage))
	})
	s.number("number of worker threads", int64(c.WorkerThreads), math.MaxInt32, func() C.meshage_status {
		return C.meshage_config_worker_threads(config, C.uint32_t(c.WorkerThreads))
	})
	s.addresses("seed", c.Seeds, func(text *C.char) C.meshage_status {
		return C.meshage_config_seed_address(config, text)
	})
}

// secure applies the options of a closed mesh.
func (c *Config) secure(s *setter) {
	config := s.config
	for _, key := range c.Keys {
		s.bytes(key, func(key *C.uint8_t, size C.size_t) C.meshage_status {
			return C.meshage_config_key(config, key, size)
		})
	}
	s.file("key file", c.KeyFile, func(path *C.char) C.meshage_status {
		return C.meshage_config_key_file(config, path)
	})
	s.file("identity file", c.IdentityFile, func(path *C.char) C.meshage_status {
		return C.meshage_config_identity_file(config, path)
	})
	if c.Root != nil {
		s.bytes(c.Root, func(key *C.uint8_t, size C.size_t) C.meshage_status {
			return C.meshage_config_root(config, key, size)
		})
	}
	s.file("ticket file", c.TicketFile, func(path *C.char) C.meshage_status {
		return C.meshage_config_ticket_file(config, path)
	})
	for name, publicKey := range c.Allow {
		s.text("allowed name", name, func(name *C.char) C.meshage_status {
			return C.meshage_config_allow(config, name, octets(publicKey), C.size_t(len(publicKey)))
		})
	}
	if c.Signed {
		s.check(C.meshage_config_signed(config, true))
	}
}

func zoned(ip net.IP, zone string) string {
	if zone == "" {
		return ip.String()
	}
	return ip.String() + "%" + zone
}

func ips(all []net.IP) []string {
	var texts []string
	for _, ip := range all {
		texts = append(texts, ip.String())
	}
	return texts
}
