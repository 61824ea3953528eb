package meshage

// What a message is, in its Command.
const (
	// ACK acknowledges a message. An application sees none.
	ACK = iota
	// MSA is a mesh state announcement. An application sees none.
	MSA
	// MESSAGE is an application's message.
	MESSAGE
)

const (
	// DEFAULT_TIMEOUT is how long a send waits for acknowledgements, in seconds.
	DEFAULT_TIMEOUT = 10
	// RECEIVE_BUFFER is how many messages the receive channel holds.
	RECEIVE_BUFFER = 1024
	// DEFAULT_MSA_TIMEOUT is how often a node announces its links though nothing changed, in
	// seconds.
	DEFAULT_MSA_TIMEOUT = 10
	// SOLICIT_LIMIT is up to how many nodes in the mesh everybody answers a solicitation.
	SOLICIT_LIMIT = 16
	// SOLICIT_RATIO says that in a larger mesh one in so many nodes answers.
	SOLICIT_RATIO = 8
)

const (
	// LOLLIPOP_LENGTH is up to which sequence announcements are numbered once after a start.
	LOLLIPOP_LENGTH = 16
)

// DefaultPort is the port of the mesh, TCP and UDP, where none is given.
const DefaultPort = 9000
