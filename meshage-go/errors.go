package meshage

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"unsafe"
)

// A Status is why something failed. The errors of this package wrap one of the constants below:
// errors.Is(err, meshage.ErrNoRoute) asks for it.
type Status int32

const (
	// ErrInvalid: an argument is out of its range, a name is not 1 to 64 bytes of [A-Za-z0-9._-].
	ErrInvalid Status = C.MESHAGE_ERR_INVALID
	// ErrTimeout: not in time. Of a send: outcome unknown, it may still arrive. It is also
	// os.ErrDeadlineExceeded.
	ErrTimeout Status = C.MESHAGE_ERR_TIMEOUT
	// ErrAgain: no room in the node's own queue at this moment.
	ErrAgain Status = C.MESHAGE_ERR_AGAIN
	// ErrClosed: the node is closed. It is also net.ErrClosed.
	ErrClosed Status = C.MESHAGE_ERR_CLOSED
	// ErrCanceled: taken back before it left. Certainly not delivered.
	ErrCanceled Status = C.MESHAGE_ERR_CANCELED
	// ErrNoRoute: the recipient is unknown or cannot be reached. Certainly not delivered.
	ErrNoRoute Status = C.MESHAGE_ERR_NO_ROUTE
	// ErrNotFound: there is no such peer.
	ErrNotFound Status = C.MESHAGE_ERR_NOT_FOUND
	// ErrExists: already connected, or the name is in use.
	ErrExists Status = C.MESHAGE_ERR_EXISTS
	// ErrSelf: a node neither dials nor sends to itself alone.
	ErrSelf Status = C.MESHAGE_ERR_SELF
	// ErrIO: the system refused; the text says why.
	ErrIO Status = C.MESHAGE_ERR_IO
	// ErrAddrInUse: the port is taken by another program. It is also syscall.EADDRINUSE.
	ErrAddrInUse Status = C.MESHAGE_ERR_ADDR_IN_USE
	// ErrRefused: nobody listens there, or the other end does not want the link.
	ErrRefused Status = C.MESHAGE_ERR_REFUSED
	// ErrAuth: the other end does not have the key.
	ErrAuth Status = C.MESHAGE_ERR_AUTH
	// ErrProtocol: the other end is no mesh node, or one of another version.
	ErrProtocol Status = C.MESHAGE_ERR_PROTOCOL
	// ErrTooLarge: the body is larger than a node takes. Certainly not delivered.
	ErrTooLarge Status = C.MESHAGE_ERR_TOO_LARGE
	// ErrBusy: the receiver's queue stayed full. Certainly not delivered.
	ErrBusy Status = C.MESHAGE_ERR_BUSY
	// ErrForked: the node belongs to the parent process.
	ErrForked Status = C.MESHAGE_ERR_FORKED
	// ErrUnsupported: not in this version or on this system.
	ErrUnsupported Status = C.MESHAGE_ERR_UNSUPPORTED
	// ErrLost: the route broke in flight. Outcome unknown, it may have arrived.
	ErrLost Status = C.MESHAGE_ERR_LOST
)

// Error says what the status means.
func (s Status) Error() string {
	// The library keeps this text for ever, and knows every status.
	return C.GoString(C.meshage_strerror(C.int32_t(s)))
}

// Timeout tells packages that ask for it (net.Error) whether the time was up.
func (s Status) Timeout() bool { return s == ErrTimeout }

// Is makes a status equal to what the standard library calls the same thing.
func (s Status) Is(target error) bool {
	switch s {
	case ErrTimeout:
		return target == os.ErrDeadlineExceeded
	case ErrClosed:
		return target == net.ErrClosed
	case ErrAddrInUse:
		return target == syscall.EADDRINUSE
	default:
		return false
	}
}

// NotDelivered reports whether a message with this outcome has certainly not arrived, so that
// sending it again cannot make it arrive twice.
func (s Status) NotDelivered() bool {
	switch s {
	case ErrNoRoute, ErrBusy, ErrTooLarge, ErrCanceled:
		return true
	default:
		return false
	}
}

// An OpError is the error of a call that failed as a whole: what was tried, and why it failed.
type OpError struct {
	// Op is what was tried: "new", "set", "broadcast", "send", "dial", "hangup", "wait", "receive".
	Op string
	// Err is a Status, or what ended the call's context.
	Err error
	// Detail says it in particular; it may be empty.
	Detail string
}

// Error names what was tried and says why it failed.
func (e *OpError) Error() string {
	if e.Detail == "" {
		return "meshage: " + e.Op + ": " + e.Err.Error()
	}
	return "meshage: " + e.Op + ": " + e.Detail
}

// Unwrap gives the reason.
func (e *OpError) Unwrap() error { return e.Err }

// Timeout reports whether the time was up.
func (e *OpError) Timeout() bool {
	timed, ok := e.Err.(interface{ Timeout() bool })
	return ok && timed.Timeout()
}

// A RecipientError is what became of a message at one recipient that has not got it, or of which
// that is not known.
type RecipientError struct {
	// Recipient is its name.
	Recipient string
	// Err is ErrNoRoute, ErrBusy, ErrTooLarge or ErrCanceled: certainly not delivered; or ErrTimeout
	// or ErrLost: unknown, it may still arrive.
	Err Status
}

// Error names the recipient and says what became of the message.
func (e *RecipientError) Error() string { return e.Recipient + ": " + e.Err.Error() }

// Unwrap gives the status.
func (e *RecipientError) Unwrap() error { return e.Err }

// A SendError is the error of a message that did not reach all of its recipients. errors.Is asks
// whether any of them failed in some way; errors.As gets at the whole:
//
//	var failed *meshage.SendError
//	if errors.As(err, &failed) {
//		for _, one := range failed.Failed {
//			fmt.Println(one.Recipient, one.Err)
//		}
//	}
type SendError struct {
	// Delivered has the recipients that have the message.
	Delivered []string
	// Failed has the others, in the order given.
	Failed []*RecipientError
	// Cause is what ended the call's context, where that ended the send; else nil.
	Cause error
}

// How many recipients the text of a SendError names; Failed names them all.
const namedMax = 4

// Error names the first few that failed.
func (e *SendError) Error() string {
	named := make([]string, 0, namedMax)
	for _, one := range e.Failed {
		if len(named) == namedMax {
			return fmt.Sprintf("meshage: %s; and %d more", strings.Join(named, "; "), len(e.Failed)-namedMax)
		}
		named = append(named, one.Error())
	}
	return "meshage: " + strings.Join(named, "; ")
}

// Unwrap gives the error of every recipient, and the cause.
func (e *SendError) Unwrap() []error {
	all := make([]error, 0, len(e.Failed)+1)
	for _, one := range e.Failed {
		all = append(all, one)
	}
	if e.Cause != nil {
		all = append(all, e.Cause)
	}
	return all
}

// Timeout reports whether the outcome is unknown everywhere because the time was up.
func (e *SendError) Timeout() bool {
	for _, one := range e.Failed {
		if one.Err != ErrTimeout {
			return false
		}
	}
	return true
}

// failure turns what a call into the library answered into an error, and frees the sentence.
func failure(op string, status C.int32_t, sentence *C.char) error {
	if status == C.MESHAGE_OK {
		return nil
	}
	detail := C.GoString(sentence)
	C.free(unsafe.Pointer(sentence))
	return &OpError{Op: op, Err: Status(status), Detail: detail}
}
