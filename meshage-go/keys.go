package meshage

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"runtime"
	"slices"
	"unsafe"
)

// keySize is the size of a key and of a public key.
const keySize = 32

// GenerateKey returns a new random key of 32 bytes, for Config.Keys.
func GenerateKey() ([]byte, error) {
	key := make([]byte, keySize)
	err := onThread("generate key", func() C.meshage_status { return C.meshage_key_generate(octets(key)) })
	if err != nil {
		return nil, err
	}
	return key, nil
}

// KeyID returns the id of a key, 16 hex digits. It is public: errors, events and logs contain it. The
// error is ErrInvalid if it is not a key.
func KeyID(key []byte) (string, error) {
	var id [17]C.char
	err := onThread("key id", func() C.meshage_status {
		return C.meshage_key_id(octets(key), C.size_t(len(key)), &id[0])
	})
	return C.GoString(&id[0]), err
}

// Keys are the pre-shared keys of a node. They can be changed while it runs. To change the key of a
// mesh without losing a message: add the new key on every node, then use it on every node, then
// remove the old one from every node. Nothing returns a key itself.
type Keys struct {
	node *Node
}

// Keys returns the node's keys.
func (n *Node) Keys() Keys { return Keys{n} }

// IDs returns the ids of the keys, the primary one first. An open node and a closed one have none.
func (k Keys) IDs() []string {
	return k.node.query(func(handle *C.meshage_node) C.mg_result { return C.mg_keys(handle) })
}

// Primary returns the id of the primary key, which opens new links; "" if there is none.
func (k Keys) Primary() string {
	if ids := k.IDs(); len(ids) > 0 {
		return ids[0]
	}
	return ""
}

// Contains reports whether the node has the key with this id.
func (k Keys) Contains(id string) bool { return slices.Contains(k.IDs(), id) }

// Add adds a key, which is accepted from now on, and returns its id. A key that the node has already is
// no error. A node that found no peer because it lacked the key joins at once.
//
// Errors: ErrInvalid if it is not a key, ErrState if the node is open or has 8 keys, ErrClosed.
func (k Keys) Add(key []byte) (string, error) {
	err := k.node.on("add key", func(handle *C.meshage_node) C.meshage_status {
		return C.meshage_node_key_add(handle, octets(key), C.size_t(len(key)))
	})
	if err != nil {
		return "", err
	}
	return KeyID(key)
}

// Use makes the key with this id the primary one. The node moves its links to it; no message is lost.
//
// Errors: ErrInvalid, ErrNotFound, ErrState if the node is open, ErrClosed.
func (k Keys) Use(id string) error {
	return k.call("use key", id, func(handle *C.meshage_node, id *C.char) C.meshage_status {
		return C.meshage_node_key_use(handle, id)
	})
}

// Remove removes the key with this id. Links under it move to the primary key. A link whose other end
// does not have that one is closed.
//
// Errors: ErrInvalid, ErrNotFound, ErrState if it is the primary key, ErrClosed.
func (k Keys) Remove(id string) error {
	return k.call("remove key", id, func(handle *C.meshage_node, id *C.char) C.meshage_status {
		return C.meshage_node_key_remove(handle, id)
	})
}

// Reload reads the key file again and takes its keys instead of all present ones.
//
// Errors: ErrInvalid if the file cannot be used (the keys stay as they are), ErrState without
// Config.KeyFile, ErrClosed.
func (k Keys) Reload() error {
	return k.node.on("reload keys", func(handle *C.meshage_node) C.meshage_status {
		return C.meshage_node_keys_reload(handle)
	})
}

func (k Keys) call(op, id string, call func(*C.meshage_node, *C.char) C.meshage_status) error {
	text, err := cString(op, "key id", id)
	if err != nil {
		return err
	}
	defer C.free(unsafe.Pointer(text))
	return k.node.on(op, func(handle *C.meshage_node) C.meshage_status { return call(handle, text) })
}

// PublicKey returns the public key of the node's identity, 32 bytes. An open node and a closed one
// have none.
func (n *Node) PublicKey() []byte {
	key := make([]byte, keySize)
	err := n.on("public key", func(handle *C.meshage_node) C.meshage_status {
		return C.meshage_node_public_key(handle, octets(key))
	})
	if err != nil {
		return nil
	}
	return key
}

// Revoke takes a revocation of a ticket, which the root signed, and passes it on to every node. Links
// of the node that has the ticket are closed everywhere.
//
// Errors: ErrInvalid if the root of this node did not sign it, ErrState if the node is open, ErrClosed.
func (n *Node) Revoke(revocation []byte) error {
	return n.on("revoke", func(handle *C.meshage_node) C.meshage_status {
		return C.meshage_node_revoke(handle, octets(revocation), C.size_t(len(revocation)))
	})
}

// on calls a function of the library that does not wait.
func (n *Node) on(op string, call func(*C.meshage_node) C.meshage_status) error {
	handle, err := n.enter(op)
	if err != nil {
		return err
	}
	defer n.leave()
	return onThread(op, func() C.meshage_status { return call(handle) })
}

// onThread calls a function of the library, and reads its error text on the same thread.
func onThread(op string, call func() C.meshage_status) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	result := C.mg_result_of(call())
	return failure(op, result.status, result.error)
}
