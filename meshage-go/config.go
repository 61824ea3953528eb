package meshage

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"math"
	"net"
	"time"
	"unsafe"
)

const (
	// AnyPort, as a port, stands for any that is free.
	AnyPort = -1
	// Forever, as a time, waits for ever.
	Forever time.Duration = -1
)

// A Config says how a node is to be. Only the name is needed: what is left out has its default.
type Config struct {
	// Name is the node's name, unique on the mesh: 1 to 64 bytes of [A-Za-z0-9._-].
	Name string
	// Namespace: only nodes of one namespace join each other by themselves. 0 to 64 bytes of
	// [A-Za-z0-9._-]; the empty one is a namespace like any other.
	Namespace string
	// Degree is how many links the node wants, up to 256; with fewer it solicits. With 0 it solicits
	// never.
	Degree uint
	// Broadcast has the addresses to solicit at. Default: 255.255.255.255. On one machine,
	// 127.255.255.255 reaches every node of that machine and nobody else.
	Broadcast []net.IP
	// Bind is the address to listen at. Default: 0.0.0.0. An IPv6 address makes an IPv6 listener
	// (:: takes both kinds).
	Bind net.IP
	// Port is the port of the mesh, TCP and UDP. Default: DefaultPort. With AnyPort the node takes
	// any free TCP port and never hears a solicitation.
	Port int
	// ListenPort is the TCP port alone, so that many nodes share a machine; AnyPort takes any that
	// is free. Default: Port.
	ListenPort int
	// Version is the application's version, at most 256 bytes. A peer with another one is warned of
	// in the log, nothing more.
	Version string
	// Timeout is how long a send and a dial wait where their context has no deadline, in whole
	// milliseconds; Forever waits for ever. Default: DEFAULT_TIMEOUT seconds.
	Timeout time.Duration
	// MSATimeout is how often the node announces its links though nothing changed: 100 ms to a day.
	// Default: DEFAULT_MSA_TIMEOUT seconds.
	MSATimeout time.Duration
	// ReceiveBuffer is how many messages the receive channel holds, up to 1,048,576; as many again
	// wait behind it, before senders wait for room. Default: RECEIVE_BUFFER.
	ReceiveBuffer int
	// MaxMessage is the largest body sent or received, in bytes, up to 1 GiB. Default: 64 MiB.
	MaxMessage int
	// WorkerThreads is how many threads move the node's bytes, up to 64. Default: 1.
	WorkerThreads int
	// Seeds are addresses ("host", "host:port", "[v6]:port") that the node dials until it is linked,
	// for ever, also after the link broke.
	Seeds []string
	// Snoop is what the node's field of this name is from the start.
	Snoop func(m *Message)
}

// setter applies options to the library's configuration until one is refused.
type setter struct {
	config *C.meshage_config
	err    error
}

func (s *setter) check(status C.meshage_status) {
	if s.err == nil {
		answer := C.mg_checked(status)
		s.err = failure("new", answer.status, answer.error)
	}
}

// number sets one that is not its zero value, which stands for the default.
func (s *setter) number(what string, value, max int64, set func() C.meshage_status) {
	if s.err != nil || value == 0 {
		return
	}
	if value < 0 || value > max {
		s.err = &OpError{Op: "new", Err: ErrInvalid, Detail: what + " is out of its range"}
		return
	}
	s.check(set())
}

// text sets a string, which the library copies.
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

// port sets one, AnyPort included.
func (s *setter) port(what string, port int, set func(C.uint16_t) C.meshage_status) {
	if port == AnyPort {
		s.check(set(0))
		return
	}
	s.number(what, int64(port), math.MaxUint16, func() C.meshage_status { return set(C.uint16_t(port)) })
}

// time sets one, where Forever may be.
func (s *setter) time(what string, value time.Duration, set func(C.int32_t) C.meshage_status) {
	if value == Forever {
		s.check(set(C.MESHAGE_INFINITE))
		return
	}
	ms := int64((value + time.Millisecond - 1) / time.Millisecond)
	s.number(what, ms, math.MaxInt32, func() C.meshage_status { return set(C.int32_t(ms)) })
}

// addresses sets strings that are added one by one.
func (s *setter) addresses(what string, values []string, add func(*C.char) C.meshage_status) {
	for _, value := range values {
		s.text(what, value, add)
	}
}

// library makes the library's configuration, which is the caller's to free.
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
	c.apply(&s)
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
	if c.Bind != nil {
		s.text("bind", c.Bind.String(), func(text *C.char) C.meshage_status {
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

func ips(all []net.IP) []string {
	var texts []string
	for _, ip := range all {
		texts = append(texts, ip.String())
	}
	return texts
}
