// Package meshage passes messages over a mesh of nodes. A node has a name and a number of links
// that it maintains. Nodes of the same namespace discover each other on the local network, link
// into a mesh, and send acknowledged messages to each other by name. Nodes without a direct link
// reach each other through relays. Nothing is durable: messages are kept in memory only.
//
// # A node
//
//	node, err := meshage.New(meshage.Config{Name: "ada", Namespace: "example", Degree: 3})
//	if err != nil {
//		return err
//	}
//	defer node.Close()
//	err = node.WaitFor(ctx, "bob")
//	delivered, err := node.Set([]string{"bob"}, "hello")
//	for message := range node.Messages() {
//		fmt.Println(message.Source, message.Body)
//	}
//
// A program that was written for minimega's Go package of this name (the original) compiles against
// this package after a change of the import path: NewNode, its methods and fields, and the
// constants in capitals are the original's interface. In addition, this package has functions that
// return errors instead of ending the program, Close, contexts, the outcome of a message at each
// recipient, events, counters, and closed meshes.
//
// # Bodies
//
// A body is received as the type that was sent:
//
//	[]byte    as bytes, which every language reads
//	string    as UTF-8 text, which every language reads
//	Encoded   as bytes in a named encoding: JSON, or an application's own
//	others    in encoding/gob, for Go programs; both sides must gob.Register the type
//
// A nil body is received as nil in Go and as an empty body in other languages.
//
// # Delivery
//
// Set, Broadcast and Send wait until every recipient has acknowledged the message, or until the
// node's timeout or the context's deadline. A recipient acknowledges a message when it is in its
// queue. If a message does not reach all recipients, the error is a [*SendError], which has the
// reason for each failed recipient:
//
//	if errors.Is(err, meshage.ErrNoRoute) { … }   // at least one is unknown or unreachable
//	var failed *meshage.SendError
//	if errors.As(err, &failed) { … }              // failed.Delivered, failed.Failed
//
// No message is delivered twice. With ErrNoRoute, ErrBusy, ErrTooLarge and ErrCanceled it is
// certain that the message has not arrived. With ErrTimeout and ErrLost this is unknown. Any other
// error is an [*OpError]: nothing was sent.
//
// # Receiving
//
// Messages wait in the channel that NewNode and [Node.Messages] return. When this channel and the
// library's queue behind it are full, senders wait and finally get ErrBusy. A program that does not
// use messages should set a small Config.ReceiveBuffer, or receive messages and discard them.
//
// # Closed meshes
//
// Without a key, everyone who reaches the port of a node can join. With Config.KeyFile or Config.Keys,
// only nodes that have the key can, and what they send is encrypted. A dial to a node with another key
// is ErrAuth, whose text has the ids of the keys of both nodes. [Node.Keys] changes the keys while the
// node runs. Config.Allow and Config.Root bind names to nodes.
//
// # Goroutines and threads
//
// All methods may be called from any goroutine. A node has one library thread, one goroutine that
// waits for messages and one that waits for all other results. Concurrent calls that wait for
// acknowledgements wait as goroutines, without a thread each. Snoop is the only callback into the
// program; a separate goroutine calls it.
//
// # Building
//
// The package uses the C library through cgo and needs a C compiler. It links the installed
// library, which pkg-config finds. Set PKG_CONFIG_PATH if the library is installed in a prefix that
// pkg-config does not search by default. With -tags meshage_static the library is linked
// statically. With -tags meshage_tree the package uses the header and the library of its own source
// tree, which cargo build --release -p meshage-ffi builds. The two tags can be combined.
package meshage
