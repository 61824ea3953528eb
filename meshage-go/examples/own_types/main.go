// Sends a value of the program's own type between two nodes of one program, and limits the waits with
// a context. It works the same between two programs: both must register the type.
package main

import (
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"log"
	"net"
	"time"

	"meshage"
)

type measurement struct {
	Sensor string
	Value  float64
}

func start(name string) *meshage.Node {
	node, err := meshage.New(meshage.Config{Name: name, Bind: net.IPv4(127, 0, 0, 1), Port: meshage.AnyPort})
	if err != nil {
		log.Fatal(err)
	}
	return node
}

func main() {
	gob.Register(measurement{})
	ada, bob := start("ada"), start("bob")
	defer ada.Close()
	defer bob.Close()
	if err := ada.Dial(fmt.Sprintf("127.0.0.1:%d", bob.Port())); err != nil {
		log.Fatal(err)
	}
	ctx, done := context.WithTimeout(context.Background(), 5*time.Second)
	defer done()
	if err := ada.WaitFor(ctx, "bob"); err != nil {
		log.Fatal(err)
	}
	_, err := ada.SetContext(ctx, []string{"bob", "nobody"}, measurement{"door", 20.5})
	var failed *meshage.SendError
	if errors.As(err, &failed) {
		fmt.Println("delivered to", failed.Delivered, "but not to", failed.Failed[0].Recipient)
	}
	fmt.Println("there is no route:", errors.Is(err, meshage.ErrNoRoute))
	message, err := bob.Recv(ctx)
	if err != nil {
		log.Fatal(err)
	}
	body := message.Body.(measurement)
	fmt.Printf("%s measured %.1f\n", body.Sensor, body.Value)
}
