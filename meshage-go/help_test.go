package meshage_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"meshage"
)

// patience is how long anything may take that is only a matter of time.
const patience = 20 * time.Second

var spaces atomic.Int64

// space is a namespace that no other test or program uses.
func space() string {
	return fmt.Sprintf("go-%d-%d", os.Getpid(), spaces.Add(1))
}

// start starts a node on the loopback that finds nobody by itself.
func start(t testing.TB, config meshage.Config) *meshage.Node {
	t.Helper()
	config.Bind = net.IPv4(127, 0, 0, 1)
	if config.Port == 0 {
		config.Port = meshage.AnyPort
	}
	node, err := meshage.New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { node.Close() })
	return node
}

// named starts nodes with defaults.
func named(t testing.TB, names ...string) []*meshage.Node {
	t.Helper()
	namespace := space()
	nodes := make([]*meshage.Node, len(names))
	for i, name := range names {
		nodes[i] = start(t, meshage.Config{Name: name, Namespace: namespace})
	}
	return nodes
}

// line links nodes one to the next, and waits until everybody reaches everybody.
func line(t testing.TB, nodes ...*meshage.Node) {
	t.Helper()
	for i := 1; i < len(nodes); i++ {
		if err := nodes[i-1].Dial(address(nodes[i])); err != nil {
			t.Fatal(err)
		}
	}
	ctx := soon(t)
	for _, node := range nodes {
		for _, other := range nodes {
			if err := node.WaitFor(ctx, other.Name()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func address(node *meshage.Node) string { return fmt.Sprintf("127.0.0.1:%d", node.Port()) }

func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, done := context.WithTimeout(context.Background(), patience)
	t.Cleanup(done)
	return ctx
}

func recv(t testing.TB, node *meshage.Node) *meshage.Message {
	t.Helper()
	message, err := node.Recv(soon(t))
	if err != nil {
		t.Fatal(err)
	}
	return message
}

// until looks again and again until something holds.
func until(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for by := time.Now().Add(patience); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(by) {
			t.Fatalf("%s: not within %s", what, patience)
		}
	}
}

// freePort is a port that is free for TCP and UDP at this moment.
func freePort(t testing.TB) int {
	t.Helper()
	for i := 0; i < 100; i++ {
		tcp, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		port := tcp.Addr().(*net.TCPAddr).Port
		tcp.Close()
		udp, err := net.ListenUDP("udp4", &net.UDPAddr{Port: port})
		if err == nil {
			udp.Close()
			return port
		}
	}
	t.Fatal("no port is free for both")
	return 0
}
