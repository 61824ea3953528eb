package meshage_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"testing"
	"time"

	"meshage"
)

// Two nodes in one program. Usually nodes are on different machines and discover each other.
func Example() {
	loopback := net.IPv4(127, 0, 0, 1)
	ada, err := meshage.New(meshage.Config{Name: "ada", Bind: loopback, Port: meshage.AnyPort})
	if err != nil {
		log.Fatal(err)
	}
	defer ada.Close()
	bob, err := meshage.New(meshage.Config{Name: "bob", Bind: loopback, Port: meshage.AnyPort})
	if err != nil {
		log.Fatal(err)
	}
	defer bob.Close()
	if err := ada.Dial(fmt.Sprintf("127.0.0.1:%d", bob.Port())); err != nil {
		log.Fatal(err)
	}
	ctx, done := context.WithTimeout(context.Background(), 10*time.Second)
	defer done()
	if err := ada.WaitFor(ctx, "bob"); err != nil {
		log.Fatal(err)
	}
	delivered, err := ada.Set([]string{"bob"}, "hello")
	fmt.Println(delivered, err)
	message := <-bob.Messages()
	fmt.Println(message.Source, "says", message.Body)
	// Output:
	// [bob] <nil>
	// ada says hello
}

// The outcome of a message at each recipient.
func ExampleSendError() {
	ada, err := meshage.New(meshage.Config{Name: "ada", Bind: net.IPv4(127, 0, 0, 1), Port: meshage.AnyPort})
	if err != nil {
		log.Fatal(err)
	}
	defer ada.Close()
	_, err = ada.Set([]string{"bob", "cid"}, "hello")
	var failed *meshage.SendError
	if errors.As(err, &failed) {
		for _, one := range failed.Failed {
			fmt.Println(one.Recipient, one.Err == meshage.ErrNoRoute)
		}
	}
	fmt.Println(errors.Is(err, meshage.ErrNoRoute), errors.Is(err, meshage.ErrTimeout))
	// Output:
	// bob true
	// cid true
	// true false
}

func BenchmarkSet(b *testing.B) {
	nodes := startNodes(b, "ada", "bob")
	linkInLine(b, nodes...)
	go func() {
		for range nodes[1].Messages() {
		}
	}()
	body := make([]byte, 64)
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		if _, err := nodes[0].Set([]string{"bob"}, body); err != nil {
			b.Fatal(err)
		}
	}
}
