package meshage_test

import (
	"context"
	"errors"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"meshage"
)

func TestAnInvalidConfigurationIsAnError(t *testing.T) {
	for _, test := range []struct {
		name   string
		config meshage.Config
		want   error
	}{
		{"no name", meshage.Config{}, meshage.ErrInvalid},
		{"an invalid name", meshage.Config{Name: "a b"}, meshage.ErrInvalid},
		{"a name that is not UTF-8", meshage.Config{Name: "\xff"}, meshage.ErrInvalid},
		{"a NUL byte", meshage.Config{Name: "a\x00"}, meshage.ErrInvalid},
		{"an invalid namespace", meshage.Config{Name: "a", Namespace: "a b"}, meshage.ErrInvalid},
		{"a degree", meshage.Config{Name: "a", Degree: 257}, meshage.ErrInvalid},
		{"a port", meshage.Config{Name: "a", Port: 65536}, meshage.ErrInvalid},
		{"a negative port", meshage.Config{Name: "a", Port: -2}, meshage.ErrInvalid},
		{"a listen port", meshage.Config{Name: "a", ListenPort: 65536}, meshage.ErrInvalid},
		{"a timeout", meshage.Config{Name: "a", Timeout: -time.Second}, meshage.ErrInvalid},
		{"an MSA timeout", meshage.Config{Name: "a", MSATimeout: time.Millisecond}, meshage.ErrInvalid},
		{"a buffer", meshage.Config{Name: "a", ReceiveBuffer: -1}, meshage.ErrInvalid},
		{"a large buffer", meshage.Config{Name: "a", ReceiveBuffer: 1 << 30}, meshage.ErrInvalid},
		{"a message limit", meshage.Config{Name: "a", MaxMessage: 2 << 30}, meshage.ErrInvalid},
		{"worker threads", meshage.Config{Name: "a", WorkerThreads: 65}, meshage.ErrInvalid},
		{"a listen address", meshage.Config{Name: "a", Bind: net.IP{1, 2}}, meshage.ErrInvalid},
		{"a link-local address without a zone", meshage.Config{Name: "a", Bind: net.ParseIP("fe80::1")}, meshage.ErrInvalid},
		{"an interface", meshage.Config{Name: "a", Interfaces: []string{""}}, meshage.ErrInvalid},
		{"a seed", meshage.Config{Name: "a", Seeds: []string{"a:b:c"}}, meshage.ErrInvalid},
		{"a version", meshage.Config{Name: "a", Version: strings.Repeat("v", 257)}, meshage.ErrInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			node, err := meshage.New(test.config)
			if err == nil {
				node.Close()
			}
			var op *meshage.OpError
			if !errors.Is(err, test.want) || !errors.As(err, &op) || op.Op != "new" || op.Detail == "" {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAllOptionsAreApplied(t *testing.T) {
	other := startNodes(t, "bob")[0]
	node := start(t, meshage.Config{
		Name: "ada", Namespace: "n", Degree: 2, Broadcast: []net.IP{net.IPv4(127, 255, 255, 255)}, ListenPort: meshage.AnyPort,
		Version: "v", Timeout: time.Minute, MSATimeout: 1500 * time.Millisecond, ReceiveBuffer: 7, MaxMessage: 10,
		WorkerThreads: 2, Seeds: []string{address(other)}, Interfaces: []string{"lo"},
	})
	if node.GetDegree() != 2 || node.GetMSATimeout() != 1500*time.Millisecond || cap(node.Messages()) != 7 || node.Port() == 0 {
		t.Errorf("degree %d, MSA timeout %s, receive buffer %d, port %d", node.GetDegree(), node.GetMSATimeout(), cap(node.Messages()), node.Port())
	}
	if err := node.WaitFor(testContext(t), "bob"); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Set([]string{"bob"}, "eleven byte"); !errors.Is(err, meshage.ErrTooLarge) {
		t.Errorf("%v", err)
	}
}

func TestAPortInUseIsAnError(t *testing.T) {
	ada := startNodes(t, "ada")[0]
	_, err := meshage.New(meshage.Config{Name: "bob", Bind: net.IPv4(127, 0, 0, 1), Port: freePort(t), ListenPort: ada.Port()})
	if !errors.Is(err, meshage.ErrAddrInUse) {
		t.Errorf("%v", err)
	}
}

func TestAFailedDialHasAReason(t *testing.T) {
	nodes := startNodes(t, "ada", "bob")
	linkInLine(t, nodes...)
	ada := nodes[0]
	silent, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	for _, test := range []struct {
		name, address string
		want          error
	}{
		{"itself", address(ada), meshage.ErrSelf},
		{"a peer", address(nodes[1]), meshage.ErrExists},
		{"an invalid address", "a:b:c", meshage.ErrInvalid},
		{"a NUL byte", "a\x00", meshage.ErrInvalid},
		{"a closed port", "127.0.0.1:" + "1", meshage.ErrRefused},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, ctx := range []context.Context{context.Background(), testContext(t)} {
				if err := ada.DialContext(ctx, test.address); !errors.Is(err, test.want) {
					t.Errorf("%v", err)
				}
			}
		})
	}
	t.Run("a silent peer, until the context ends", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(20*time.Millisecond, cancel)
		if err := ada.DialContext(ctx, silent.Addr().String()); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if err := ada.DialContext(ctx, silent.Addr().String()); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

func TestAWaitForANodeEnds(t *testing.T) {
	nodes := startNodes(t, "ada", "bob")
	ada, bob := nodes[0], nodes[1]
	ctx, done := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer done()
	err := ada.WaitFor(ctx, "ada", "bob")
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "bob") {
		t.Errorf("%v", err)
	}
	if err := ada.WaitFor(testContext(t), "no name"); !errors.Is(err, meshage.ErrInvalid) {
		t.Errorf("%v", err)
	}
	waited := make(chan error, 2)
	go func() { waited <- ada.WaitFor(testContext(t), "bob") }()
	if err := bob.Dial(address(ada)); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Errorf("%v", err)
	}
	go func() { waited <- ada.WaitFor(testContext(t), "nobody") }()
	ada.Close()
	if err := <-waited; !errors.Is(err, meshage.ErrClosed) {
		t.Errorf("%v", err)
	}
}

func TestEventsReportChanges(t *testing.T) {
	nodes := startNodes(t, "ada", "bob")
	ctx, done := context.WithCancel(context.Background())
	first, second := nodes[0].Events(ctx), nodes[0].Events(context.Background())
	linkInLine(t, nodes...)
	for _, events := range []<-chan meshage.Event{first, second} {
		seen := map[meshage.EventKind]meshage.Event{}
		for seen[meshage.EventNodeJoined].Node != "bob" {
			event := <-events
			seen[event.Kind] = event
		}
		link, joined := seen[meshage.EventLinkUp], seen[meshage.EventNodeJoined]
		if link.Node != "bob" || link.Instance == 0 || link.Instance != joined.Instance {
			t.Errorf("%+v, %+v", link, joined)
		}
		if link.Reason != "" || joined.Failed {
			t.Errorf("%+v, %+v", link, joined)
		}
	}
	done()
	for range first {
	}
	nodes[1].Close()
	for event := range second {
		if event.Kind == meshage.EventLinkDown && event.Reason == "" {
			t.Errorf("no reason: %+v", event)
		}
		if event.Kind == meshage.EventNodeLeft && event.Node == "bob" {
			if event.Failed || event.Instance == 0 || event.Reason == "" {
				t.Errorf("%+v", event)
			}
			break
		}
	}
	nodes[0].Close()
	for range second {
	}
	if _, ok := <-nodes[0].Events(context.Background()); ok {
		t.Error("a closed node sent an event")
	}
}

func TestStatsAreCounted(t *testing.T) {
	nodes := startNodes(t, "ada", "bob")
	linkInLine(t, nodes...)
	if _, err := nodes[0].Set([]string{"bob"}, "x"); err != nil {
		t.Fatal(err)
	}
	stats := nodes[0].Stats()
	if len(stats) < 10 {
		t.Errorf("%v", stats)
	}
	sum := uint64(0)
	for _, value := range stats {
		sum += value
	}
	if sum == 0 {
		t.Error("all counters are zero")
	}
}

func TestCloseWakesAllWaitingCalls(t *testing.T) {
	ada, bob, _ := fullRecipient(t, meshage.Forever)
	calls := []func() error{
		func() error { _, err := ada.Set([]string{"bob"}, "first"); return err },
		func() error { _, err := ada.Set([]string{"bob"}, "second"); return err },
		func() error { _, err := ada.SetContext(testContext(t), []string{"bob"}, "x"); return err },
		func() error { _, err := ada.Broadcast("x"); return err },
		func() error { _, err := ada.Recv(testContext(t)); return err },
		func() error { return ada.WaitFor(testContext(t), "nobody") },
	}
	ended := make(chan error, len(calls))
	for _, call := range calls {
		go func() { ended <- call() }()
	}
	began := time.Now()
	ada.Close()
	for range calls {
		// A send that was transmitted before the close may have its own outcome.
		if err := <-ended; err == nil {
			t.Error("a call succeeded")
		} else if !errors.Is(err, meshage.ErrClosed) {
			var failed *meshage.SendError
			if !errors.As(err, &failed) {
				t.Errorf("%v", err)
			}
		}
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("closing took %s", took)
	}
	ada.Close()
	bob.Close()
}

func TestCallsOnAClosedNodeFail(t *testing.T) {
	ada := startNodes(t, "ada")[0]
	ada.Close()
	for _, err := range []error{
		ada.Dial("127.0.0.1:1"), ada.Hangup("bob"), ada.WaitFor(testContext(t)),
		second(ada.Set([]string{"bob"}, "x")), second(ada.Broadcast("x")), second(ada.Send(&meshage.Message{})),
		second(ada.SetContext(testContext(t), []string{"bob"}, 1)),
	} {
		if !errors.Is(err, meshage.ErrClosed) || !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v", err)
		}
	}
	if _, err := ada.Recv(testContext(t)); !errors.Is(err, meshage.ErrClosed) {
		t.Errorf("%v", err)
	}
	ada.MSA()
	ada.SetDegree(3)
	ada.SetMSATimeout(3)
	if ada.Name() != "ada" || ada.Port() != 0 || ada.GetDegree() != 0 || ada.GetMSATimeout() != 0 || len(ada.Mesh()) != 0 ||
		ada.Dot() != "" || len(ada.Peers()) != 0 || len(ada.Stats()) != 0 || len(ada.BroadcastRecipients()) != 0 {
		t.Error("a closed node returned values")
	}
}

func second(_ []string, err error) error { return err }

func TestSnoopMayCloseItsNode(t *testing.T) {
	namespace := newNamespace()
	closed := make(chan struct{})
	var bob *meshage.Node
	started := make(chan struct{})
	bob = start(t, meshage.Config{Name: "bob", Namespace: namespace, Snoop: func(*meshage.Message) {
		<-started
		bob.Close()
		close(closed)
	}})
	ada := start(t, meshage.Config{Name: "ada", Namespace: namespace, Timeout: time.Second})
	cid := start(t, meshage.Config{Name: "cid", Namespace: namespace})
	linkInLine(t, ada, bob, cid)
	close(started)
	waitUntil(t, "a message was snooped", func() bool {
		ada.Set([]string{"cid"}, "x")
		select {
		case <-closed:
			return true
		default:
			return false
		}
	})
}

func TestClosedNodesLeakNothing(t *testing.T) {
	round := func() {
		nodes := startNodes(t, "ada", "bob", "cid")
		linkInLine(t, nodes...)
		events := nodes[0].Events(context.Background())
		for _, ctx := range []context.Context{context.Background(), testContext(t)} {
			if _, err := nodes[0].BroadcastContext(ctx, "x"); err != nil {
				t.Fatal(err)
			}
		}
		nodes[1].Snoop = func(*meshage.Message) {}
		for _, node := range nodes {
			node.Close()
			for range node.Messages() {
			}
		}
		for range events {
		}
	}
	round()
	var goroutines int
	waitUntil(t, "the goroutines of the first round have ended", func() bool {
		goroutines = runtime.NumGoroutine()
		time.Sleep(10 * time.Millisecond)
		return goroutines == runtime.NumGoroutine()
	})
	descriptors, threads := descriptorCount(t), threadCount()
	for i := 0; i < 5; i++ {
		round()
	}
	waitUntil(t, "no goroutine is leaked", func() bool { return runtime.NumGoroutine() <= goroutines })
	waitUntil(t, "no descriptor is leaked", func() bool { return descriptorCount(t) <= descriptors })
	// The runtime keeps threads that have waited and reuses them.
	if more := threadCount() - threads; more > 6 {
		t.Errorf("%d more threads", more)
	}
}

// descriptorCount returns the number of open descriptors of this process, or 0 if it is unknown.
func descriptorCount(t *testing.T) int {
	t.Helper()
	descriptors, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(descriptors)
}

func TestADegreeAndAnIntervalOutOfRangeAreClamped(t *testing.T) {
	ada := startNodes(t, "ada")[0]
	ada.SetDegree(1000)
	ada.SetMSATimeout(0)
	if ada.GetDegree() != 256 || ada.GetMSATimeout() != 100*time.Millisecond {
		t.Errorf("%d, %s", ada.GetDegree(), ada.GetMSATimeout())
	}
	ada.SetDegree(0)
	ada.SetMSATimeout(1 << 30)
	if ada.GetMSATimeout() != 24*time.Hour {
		t.Errorf("%s", ada.GetMSATimeout())
	}
}
