package meshage

// The values of a message's Command.
const (
	// ACK is an acknowledgement. Applications never receive one.
	ACK = iota
	// MSA is a mesh state announcement. Applications never receive one.
	MSA
	// MESSAGE is an application's message.
	MESSAGE
)

const (
	// DEFAULT_TIMEOUT is how long a send waits for acknowledgements, in seconds.
	DEFAULT_TIMEOUT = 10
	// RECEIVE_BUFFER is the capacity of the receive channel in messages.
	RECEIVE_BUFFER = 1024
	// DEFAULT_MSA_TIMEOUT is the interval at which a node compares what it knows of the mesh with its
	// peers, in seconds.
	DEFAULT_MSA_TIMEOUT = 10
	// SOLICIT_LIMIT is the largest size of a mesh in which every eligible node responds to a
	// solicitation.
	SOLICIT_LIMIT = 16
	// SOLICIT_RATIO is the ratio in a larger mesh: one in this many eligible nodes responds.
	SOLICIT_RATIO = 8
)

const (
	// LOLLIPOP_LENGTH is the last of the announcement sequences that are used only once, after a
	// start.
	LOLLIPOP_LENGTH = 16
)

// DefaultPort is the default port of the mesh, TCP and UDP.
const DefaultPort = 9000
