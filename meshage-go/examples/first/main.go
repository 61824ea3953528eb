// Says hello to every node that joins, and prints the messages that it receives. Run it two or more
// times on one machine: go run ./examples/first alice
package main

import (
	"context"
	"fmt"
	"log"
	"net"
	"os"

	"meshage"
)

func main() {
	name := fmt.Sprintf("go-%d", os.Getpid())
	if len(os.Args) > 1 {
		name = os.Args[1]
	}
	node, err := meshage.New(meshage.Config{
		Name:       name,
		Namespace:  "first",
		Degree:     3,                                      // wanted links
		Broadcast:  []net.IP{net.IPv4(127, 255, 255, 255)}, // this machine only
		ListenPort: meshage.AnyPort,                        // any free port
	})
	if err != nil {
		log.Fatal(err)
	}
	defer node.Close()
	events := node.Events(context.Background())
	fmt.Println(name, "looks for others; end it with Ctrl-C")
	for {
		select {
		case message := <-node.Messages():
			fmt.Printf("%s says %q\n", message.Source, message.Body)
		case event := <-events:
			if event.Kind != meshage.EventNodeJoined {
				continue
			}
			if _, err := node.Set([]string{event.Node}, "hello"); err != nil {
				fmt.Println(err)
			} else {
				fmt.Println("hello to", event.Node)
			}
		}
	}
}
