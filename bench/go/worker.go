// The bench's worker for the Go package (bench/README.md describes the protocol).
//
//	set_rtt    one goroutine, Set
//	set_64     64 goroutines, Set
//	memory     a node whose memory is measured
//
//	go build -tags meshage_tree
package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"meshage"
)

const (
	server    = "server"
	linkedMax = 10 * time.Second
	small     = 64
)

var recipients = []string{server}

// start starts a node of degree 0 on a free loopback port. It links only to the nodes that it dials.
func start(name string) *meshage.Node {
	node, err := meshage.New(meshage.Config{
		Name: name,
		// All processes of a run have the same parent.
		Namespace: fmt.Sprintf("bench-%d", os.Getppid()),
		Bind:      net.IPv4(127, 0, 0, 1),
		Port:      meshage.AnyPort,
	})
	check(err)
	return node
}

func linkedNode(j job) *meshage.Node {
	node := start(fmt.Sprintf("driver-%d", os.Getpid()))
	check(node.Dial(j.options["to"]))
	ctx, done := context.WithTimeout(context.Background(), linkedMax)
	defer done()
	check(node.WaitFor(ctx, server))
	return node
}

func serve() {
	node := start(server)
	go func() {
		for range node.Messages() {
		}
	}()
	fmt.Printf("ready 127.0.0.1:%d\n", node.Port())
	waitForEndOfInput()
	check(node.Close())
}

func roundTrips(node *meshage.Node, body []byte) round {
	return func(length time.Duration) ([]time.Duration, float64, int) {
		times := make([]time.Duration, 0, 1<<16)
		start := time.Now()
		for before := start; before.Sub(start) < length; {
			_, err := node.Set(recipients, body)
			check(err)
			after := time.Now()
			times = append(times, after.Sub(before))
			before = after
		}
		return times, 0, len(times)
	}
}

func callers(node *meshage.Node, body []byte, window int) round {
	return func(length time.Duration) ([]time.Duration, float64, int) {
		var group sync.WaitGroup
		var count atomic.Int64
		start := time.Now()
		for range window {
			group.Add(1)
			go func() {
				defer group.Done()
				sent := 0
				for time.Since(start) < length {
					_, err := node.Set(recipients, body)
					check(err)
					sent++
				}
				count.Add(int64(sent))
			}()
		}
		group.Wait()
		sent := int(count.Load())
		return nil, float64(sent) / time.Since(start).Seconds(), sent
	}
}

func drive(j job) {
	node := linkedNode(j)
	body := bytes.Repeat([]byte("x"), j.number("size", small))
	if j.name == "set_rtt" {
		runRounds(roundTrips(node, body))
	} else {
		runRounds(callers(node, body, j.number("window", 64)))
	}
	check(node.Close())
}

func main() {
	j := parseJob(os.Args[1:])
	known := j.name == "set_rtt" || j.name == "set_64" || j.name == "memory"
	switch {
	case known && j.role == "serve":
		serve()
	case known && j.role == "drive" && j.name != "memory":
		drive(j)
	default:
		fail(j.name + ": this case or role is not supported")
	}
}
