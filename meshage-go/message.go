package meshage

import "fmt"

// A Message is what nodes pass each other; Body is what the program gave. Of one that is to be sent
// by Node.Send, Recipients and Body count, and the rest is filled in on the way.
type Message struct {
	Recipients   []string    // whom it is to; none of a broadcast
	Source       string      // the node that sent it
	Instance     uint64      // the life of that node: new when it restarts
	CurrentRoute []string    // the nodes that put it on a link: the source, then each relay
	ID           uint64      // its number in that life
	Command      int         // MESSAGE
	Body         interface{} // a []byte, a string, or any other value; see the package's page
}

// String describes the message on one line, without the whole body.
func (m *Message) String() string {
	to := "everybody"
	if len(m.Recipients) > 0 {
		to = fmt.Sprint(m.Recipients)
	}
	return fmt.Sprintf("message %d from %q to %s by way of %s: %s", m.ID, m.Source, to, m.CurrentRoute, summary(m.Body))
}

// summary says what kind of body it is, and how large where that is known.
func summary(body interface{}) string {
	switch body := body.(type) {
	case nil:
		return "no body"
	case []byte:
		return fmt.Sprintf("%d bytes", len(body))
	case string:
		return fmt.Sprintf("%d bytes of text", len(body))
	case Encoded:
		return fmt.Sprintf("%d bytes in encoding %d", len(body.Data), body.Encoding)
	default:
		return fmt.Sprintf("a %T", body)
	}
}
