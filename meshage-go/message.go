package meshage

import "fmt"

// A Message is a message between nodes. For Node.Send only Recipients, Body and Command are used;
// the library sets the other fields.
type Message struct {
	Recipients   []string    // the recipients; empty for a broadcast
	Source       string      // the node that sent it
	Instance     uint64      // the incarnation of that node: new when it restarts
	CurrentRoute []string    // the nodes that sent it over a link: the source, then each relay
	ID           uint64      // its number, unique within the instance
	Command      int         // MESSAGE
	Body         interface{} // a []byte, a string, or any other value; see the package documentation
}

// String describes the message on one line, without the complete body.
func (m *Message) String() string {
	to := "all nodes"
	if len(m.Recipients) > 0 {
		to = fmt.Sprint(m.Recipients)
	}
	return fmt.Sprintf("message %d from %q to %s, route %s: %s", m.ID, m.Source, to, m.CurrentRoute, summary(m.Body))
}

// summary describes the kind of a body and, if it is known, its size.
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
