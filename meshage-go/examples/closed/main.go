// A closed mesh: two nodes have a key and exchange a message; a third one has another key and is
// turned away. In real programs every node has the same key file: Config.KeyFile.
package main

import (
	"errors"
	"fmt"
	"log"
	"net"

	"meshage"
)

func start(name string, key []byte) *meshage.Node {
	node, err := meshage.New(meshage.Config{
		Name: name,
		Bind: net.IPv4(127, 0, 0, 1),
		Port: meshage.AnyPort,
		Keys: [][]byte{key},
	})
	if err != nil {
		log.Fatal(err)
	}
	return node
}

func newKey() []byte {
	key, err := meshage.GenerateKey()
	if err != nil {
		log.Fatal(err)
	}
	return key
}

func main() {
	key := newKey()
	alice, bob, mallory := start("alice", key), start("bob", key), start("mallory", newKey())
	defer alice.Close()
	defer bob.Close()
	defer mallory.Close()
	address := fmt.Sprintf("127.0.0.1:%d", alice.Port())
	if err := bob.Dial(address); err != nil {
		log.Fatal(err)
	}
	if _, err := bob.Set([]string{"alice"}, "hello"); err != nil {
		log.Fatal(err)
	}
	message := <-alice.Messages()
	fmt.Printf("%s: %s\n", message.Source, message.Body)
	if err := mallory.Dial(address); errors.Is(err, meshage.ErrAuth) {
		fmt.Println("mallory:", err)
	}
}
