// Package meshage passes messages over a mesh of nodes. Give a node a name and a number of links
// that it should keep; nodes of one namespace find each other on the local network, link up, and pass
// acknowledged messages by name, through each other where there is no direct link. Nothing is
// durable: messages live in memory alone.
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
// A program that was written for the Go package of this name compiles against this one by changing
// the import path: NewNode, the methods and fields, and the constants in capitals are its interface.
// The rest is what this package has beyond it: errors instead of exits, Close, contexts, what became
// of a message at each recipient, events, counters.
//
// # Bodies
//
// What is given as a body arrives as the same:
//
//	[]byte    as bytes, which every language reads
//	string    as UTF-8 text, which every language reads
//	Encoded   as bytes in an encoding that is named: JSON, or an application's own
//	others    in encoding/gob, for other Go programs; both sides gob.Register their own types
//
// A nil body arrives as nil, and as no bytes elsewhere.
//
// # Delivery
//
// Set, Broadcast and Send wait until every recipient has acknowledged, which is when the message is
// in its queue, or until the time is up: the node's timeout, or the context's deadline. The error of a
// message that did not reach everybody is a [*SendError], which names each recipient that has not got
// it, and why:
//
//	if errors.Is(err, meshage.ErrNoRoute) { … }   // at least one is unknown
//	var failed *meshage.SendError
//	if errors.As(err, &failed) { … }              // failed.Delivered, failed.Failed
//
// Nothing is delivered twice. With ErrNoRoute, ErrBusy, ErrTooLarge and ErrCanceled it is certain that
// the message has not arrived; with ErrTimeout and ErrLost it is not known. Any other error is an
// [*OpError]: nothing was sent.
//
// # Receiving
//
// Messages wait in the channel that NewNode gives and [Node.Messages] returns. When it is full, and
// the library's queue behind it, senders wait for room and are told ErrBusy in the end: a program that
// does not receive should say so with a small Config.ReceiveBuffer, or take messages and drop them.
//
// # Goroutines and threads
//
// Every method may be called from any goroutine. A node has a thread of the library's, one goroutine
// that waits for messages and one that waits for all else. Calls that wait for acknowledgements beside
// others wait as goroutines, without a thread each. Nothing calls back into the program but Snoop, from
// a goroutine of its own.
//
// # Building
//
// The package is over the C library, through cgo; a C compiler is needed. It is linked to the
// installed library, which pkg-config finds (PKG_CONFIG_PATH says where, if it is in a place of its
// own). With -tags meshage_static the library goes into the program. With -tags meshage_tree the
// package takes the header and the library of the source tree that it is in, which cargo build
// --release -p meshage-ffi has built; the two tags go together.
package meshage
