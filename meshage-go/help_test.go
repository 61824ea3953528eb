package meshage_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"meshage"
)

// waitMax is the longest wait for a condition that must become true.
const waitMax = 20 * time.Second

var namespaces atomic.Int64

// newNamespace returns a namespace that no other test or program uses.
func newNamespace() string {
	return fmt.Sprintf("go-%d-%d", os.Getpid(), namespaces.Add(1))
}

// start starts a node on loopback that discovers no nodes by itself.
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

// startNodes starts nodes with default options.
func startNodes(t testing.TB, names ...string) []*meshage.Node {
	t.Helper()
	namespace := newNamespace()
	nodes := make([]*meshage.Node, len(names))
	for i, name := range names {
		nodes[i] = start(t, meshage.Config{Name: name, Namespace: namespace})
	}
	return nodes
}

// linkInLine links each node to the next, and waits until all nodes reach each other.
func linkInLine(t testing.TB, nodes ...*meshage.Node) {
	t.Helper()
	for i := 1; i < len(nodes); i++ {
		if err := nodes[i-1].Dial(address(nodes[i])); err != nil {
			t.Fatal(err)
		}
	}
	ctx := testContext(t)
	for _, node := range nodes {
		for _, other := range nodes {
			if err := node.WaitFor(ctx, other.Name()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func address(node *meshage.Node) string { return fmt.Sprintf("127.0.0.1:%d", node.Port()) }

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, done := context.WithTimeout(context.Background(), waitMax)
	t.Cleanup(done)
	return ctx
}

func recv(t testing.TB, node *meshage.Node) *meshage.Message {
	t.Helper()
	message, err := node.Recv(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return message
}

// waitUntil polls until a condition holds.
func waitUntil(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(waitMax); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timed out after %s: %s", waitMax, what)
		}
	}
}

// freePort returns a port that is currently free for TCP and UDP. It is below the ports that systems
// give to outgoing connections: one of those could be taken before the test uses it.
func freePort(t testing.TB) int {
	t.Helper()
	for i := 0; i < 100; i++ {
		port := 10000 + rand.IntN(20000)
		tcp, err := net.ListenTCP("tcp4", &net.TCPAddr{Port: port})
		if err != nil {
			continue
		}
		tcp.Close()
		udp, err := net.ListenUDP("udp4", &net.UDPAddr{Port: port})
		if err == nil {
			udp.Close()
			return port
		}
	}
	t.Fatal("found no port that is free for TCP and UDP")
	return 0
}
