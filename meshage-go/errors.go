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

// A Status is the reason of a failure. The errors of this package wrap one of the constants below,
// which errors.Is(err, meshage.ErrNoRoute) tests for.
type Status int32

const (
	// ErrInvalid: an argument is out of range, a name is not 1 to 64 bytes of [A-Za-z0-9._-], or a
	// key or a file with keys cannot be used.
	ErrInvalid Status = C.MESHAGE_ERR_INVALID
	// ErrTimeout: a timeout passed. After a send the outcome is unknown: the message may still
	// arrive. It is also os.ErrDeadlineExceeded.
	ErrTimeout Status = C.MESHAGE_ERR_TIMEOUT
	// ErrAgain: the node's own queue is currently full.
	ErrAgain Status = C.MESHAGE_ERR_AGAIN
	// ErrClosed: the node is closed. It is also net.ErrClosed.
	ErrClosed Status = C.MESHAGE_ERR_CLOSED
	// ErrCanceled: canceled before it was transmitted. Certainly not delivered.
	ErrCanceled Status = C.MESHAGE_ERR_CANCELED
	// ErrNoRoute: the recipient is unknown or unreachable. Certainly not delivered.
	ErrNoRoute Status = C.MESHAGE_ERR_NO_ROUTE
	// ErrNotFound: there is no such peer, or no key with this id.
	ErrNotFound Status = C.MESHAGE_ERR_NOT_FOUND
	// ErrExists: already connected, or the name is in use.
	ErrExists Status = C.MESHAGE_ERR_EXISTS
	// ErrSelf: a node cannot dial itself, or send to itself only.
	ErrSelf Status = C.MESHAGE_ERR_SELF
	// ErrIO: the operating system reported an error; the text has the reason.
	ErrIO Status = C.MESHAGE_ERR_IO
	// ErrAddrInUse: another program uses the port. It is also syscall.EADDRINUSE.
	ErrAddrInUse Status = C.MESHAGE_ERR_ADDR_IN_USE
	// ErrRefused: no node listens at the address, or the peer refuses the link.
	ErrRefused Status = C.MESHAGE_ERR_REFUSED
	// ErrAuth: the two nodes have no key in common, one of them does not encrypt, or one of them may
	// not join. The text of the error says what was heard, with the ids of the keys, and what to do.
	ErrAuth Status = C.MESHAGE_ERR_AUTH
	// ErrProtocol: the peer is not a mesh node, or uses another version of the protocol.
	ErrProtocol Status = C.MESHAGE_ERR_PROTOCOL
	// ErrTooLarge: the body is larger than a node's limit. Certainly not delivered.
	ErrTooLarge Status = C.MESHAGE_ERR_TOO_LARGE
	// ErrBusy: a queue on the path stayed full, or earlier messages took all the time. Certainly not
	// delivered.
	ErrBusy Status = C.MESHAGE_ERR_BUSY
	// ErrState: not possible in the current state, as to remove the primary key.
	ErrState Status = C.MESHAGE_ERR_STATE
	// ErrForked: the node belongs to the parent process.
	ErrForked Status = C.MESHAGE_ERR_FORKED
	// ErrUnsupported: not supported in this version or on this system.
	ErrUnsupported Status = C.MESHAGE_ERR_UNSUPPORTED
	// ErrLost: the route broke while the message was in flight. The outcome is unknown: it may have
	// arrived.
	ErrLost Status = C.MESHAGE_ERR_LOST
)

// Error describes the status.
func (s Status) Error() string {
	// The library's text is static, and there is one for every status.
	return C.GoString(C.meshage_strerror(C.int32_t(s)))
}

// Timeout reports whether the status is a timeout, as net.Error does.
func (s Status) Timeout() bool { return s == ErrTimeout }

// Is makes a status match the corresponding error of the standard library.
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

// NotDelivered reports whether a message with this outcome has certainly not arrived, so that a
// second send cannot deliver it twice.
func (s Status) NotDelivered() bool {
	switch s {
	case ErrNoRoute, ErrBusy, ErrTooLarge, ErrCanceled:
		return true
	default:
		return false
	}
}

// An OpError is the error of a call that failed as a whole: the operation and the reason.
type OpError struct {
	// Op is the operation: "new", "set", "broadcast", "send", "dial", "hangup", "wait", "receive",
	// "add key", "use key", "remove key", "reload keys", "revoke", "generate key", "key id".
	Op string
	// Err is a Status, or the cause of the end of the call's context.
	Err error
	// Detail has more about the reason; it may be empty.
	Detail string
}

// Error has the operation and the reason.
func (e *OpError) Error() string {
	if e.Detail == "" {
		return "meshage: " + e.Op + ": " + e.Err.Error()
	}
	return "meshage: " + e.Op + ": " + e.Detail
}

// Unwrap returns the reason.
func (e *OpError) Unwrap() error { return e.Err }

// Timeout reports whether the call timed out.
func (e *OpError) Timeout() bool {
	timed, ok := e.Err.(interface{ Timeout() bool })
	return ok && timed.Timeout()
}

// A RecipientError is the outcome of a message at one recipient that has not received it, or for
// which this is unknown.
type RecipientError struct {
	// Recipient is the name of the recipient.
	Recipient string
	// Err is ErrNoRoute, ErrBusy, ErrTooLarge or ErrCanceled: certainly not delivered; or
	// ErrTimeout or ErrLost: unknown, the message may still arrive.
	Err Status
}

// Error has the recipient and the outcome of the message.
func (e *RecipientError) Error() string { return e.Recipient + ": " + e.Err.Error() }

// Unwrap returns the status.
func (e *RecipientError) Unwrap() error { return e.Err }

// A SendError is the error of a message that did not reach all of its recipients. errors.Is tests
// whether any recipient failed with a status. errors.As returns the whole error:
//
//	var failed *meshage.SendError
//	if errors.As(err, &failed) {
//		for _, one := range failed.Failed {
//			fmt.Println(one.Recipient, one.Err)
//		}
//	}
type SendError struct {
	// Delivered has the recipients that received the message.
	Delivered []string
	// Failed has the other recipients, in the caller's order.
	Failed []*RecipientError
	// Cause is the cause of the end of the call's context if this ended the send; else nil.
	Cause error
}

// namedMax is the most recipients in the text of a SendError. Failed has all of them.
const namedMax = 4

// Error has the first few recipients that failed.
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

// Unwrap returns the error of every failed recipient, and the cause.
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

// Timeout reports whether all of the failed recipients timed out.
func (e *SendError) Timeout() bool {
	for _, one := range e.Failed {
		if one.Err != ErrTimeout {
			return false
		}
	}
	return true
}

// failure converts the status and the error text of a library call into an error, and frees the
// text.
func failure(op string, status C.int32_t, text *C.char) error {
	if status == C.MESHAGE_OK {
		return nil
	}
	detail := C.GoString(text)
	C.free(unsafe.Pointer(text))
	return &OpError{Op: op, Err: Status(status), Detail: detail}
}
