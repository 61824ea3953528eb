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

func TestAConfigurationThatCannotBeIsAnError(t *testing.T) {
	for _, test := range []struct {
		name   string
		config meshage.Config
		want   error
	}{
		{"no name", meshage.Config{}, meshage.ErrInvalid},
		{"a bad name", meshage.Config{Name: "a b"}, meshage.ErrInvalid},
		{"a name of bytes", meshage.Config{Name: "\xff"}, meshage.ErrInvalid},
		{"a zero byte", meshage.Config{Name: "a\x00"}, meshage.ErrInvalid},
		{"a bad namespace", meshage.Config{Name: "a", Namespace: "a b"}, meshage.ErrInvalid},
		{"a degree", meshage.Config{Name: "a", Degree: 257}, meshage.ErrInvalid},
		{"a port", meshage.Config{Name: "a", Port: 65536}, meshage.ErrInvalid},
		{"a negative port", meshage.Config{Name: "a", Port: -2}, meshage.ErrInvalid},
		{"a listen port", meshage.Config{Name: "a", ListenPort: 65536}, meshage.ErrInvalid},
		{"a timeout", meshage.Config{Name: "a", Timeout: -time.Second}, meshage.ErrInvalid},
		{"an MSA timeout", meshage.Config{Name: "a", MSATimeout: time.Millisecond}, meshage.ErrInvalid},
		{"a buffer", meshage.Config{Name: "a", ReceiveBuffer: -1}, meshage.ErrInvalid},
		{"a large buffer", meshage.Config{Name: "a", ReceiveBuffer: 1 << 30}, meshage.ErrInvalid},
		{"a largest message", meshage.Config{Name: "a", MaxMessage: 2 << 30}, meshage.ErrInvalid},
		{"threads", meshage.Config{Name: "a", WorkerThreads: 65}, meshage.ErrInvalid},
		{"an address to listen at", meshage.Config{Name: "a", Bind: net.IP{1, 2}}, meshage.ErrInvalid},
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

func TestEveryOptionIsTaken(t *testing.T) {
	other := named(t, "bob")[0]
	node := start(t, meshage.Config{
		Name: "ada", Namespace: "n", Degree: 2, Broadcast: []net.IP{net.IPv4(127, 255, 255, 255)}, ListenPort: meshage.AnyPort,
		Version: "v", Timeout: time.Minute, MSATimeout: 1500 * time.Millisecond, ReceiveBuffer: 7, MaxMessage: 10,
		WorkerThreads: 2, Seeds: []string{address(other)},
	})
	if node.GetDegree() != 2 || node.GetMSATimeout() != 1500*time.Millisecond || cap(node.Messages()) != 7 || node.Port() == 0 {
		t.Errorf("degree %d, every %s, room for %d, port %d", node.GetDegree(), node.GetMSATimeout(), cap(node.Messages()), node.Port())
	}
	if err := node.WaitFor(soon(t), "bob"); err != nil {
		t.Fatal(err)
	}
	if _, err := node.Set([]string{"bob"}, "eleven byte"); !errors.Is(err, meshage.ErrTooLarge) {
		t.Errorf("%v", err)
	}
}

func TestAPortThatIsTakenIsAnError(t *testing.T) {
	ada := named(t, "ada")[0]
	_, err := meshage.New(meshage.Config{Name: "bob", Bind: net.IPv4(127, 0, 0, 1), Port: freePort(t), ListenPort: ada.Port()})
	if !errors.Is(err, meshage.ErrAddrInUse) {
		t.Errorf("%v", err)
	}
}

func TestADialThatFailsSaysWhy(t *testing.T) {
	nodes := named(t, "ada", "bob")
	line(t, nodes...)
	ada := nodes[0]
	deaf, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer deaf.Close()
	for _, test := range []struct {
		name, address string
		want          error
	}{
		{"itself", address(ada), meshage.ErrSelf},
		{"a peer", address(nodes[1]), meshage.ErrExists},
		{"no address", "a:b:c", meshage.ErrInvalid},
		{"a zero byte", "a\x00", meshage.ErrInvalid},
		{"nobody", "127.0.0.1:" + "1", meshage.ErrRefused},
	} {
		t.Run(test.name, func(t *testing.T) {
			for _, ctx := range []context.Context{context.Background(), soon(t)} {
				if err := ada.DialContext(ctx, test.address); !errors.Is(err, test.want) {
					t.Errorf("%v", err)
				}
			}
		})
	}
	t.Run("one that says nothing, until the context ends", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		time.AfterFunc(20*time.Millisecond, cancel)
		if err := ada.DialContext(ctx, deaf.Addr().String()); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if err := ada.DialContext(ctx, deaf.Addr().String()); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	})
}

func TestWaitingForANodeEnds(t *testing.T) {
	nodes := named(t, "ada", "bob")
	ada, bob := nodes[0], nodes[1]
	ctx, done := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer done()
	err := ada.WaitFor(ctx, "ada", "bob")
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "bob") {
		t.Errorf("%v", err)
	}
	if err := ada.WaitFor(soon(t), "no name"); !errors.Is(err, meshage.ErrInvalid) {
		t.Errorf("%v", err)
	}
	waited := make(chan error, 2)
	go func() { waited <- ada.WaitFor(soon(t), "bob") }()
	if err := bob.Dial(address(ada)); err != nil {
		t.Fatal(err)
	}
	if err := <-waited; err != nil {
		t.Errorf("%v", err)
	}
	go func() { waited <- ada.WaitFor(soon(t), "nobody") }()
	ada.Close()
	if err := <-waited; !errors.Is(err, meshage.ErrClosed) {
		t.Errorf("%v", err)
	}
}

func TestEventsTellWhatHappens(t *testing.T) {
	nodes := named(t, "ada", "bob")
	ctx, done := context.WithCancel(context.Background())
	first, second := nodes[0].Events(ctx), nodes[0].Events(context.Background())
	line(t, nodes...)
	for _, events := range []<-chan meshage.Event{first, second} {
		seen := map[meshage.Event]bool{}
		for !seen[meshage.Event{Kind: meshage.EventNodeJoined, Node: "bob"}] {
			seen[<-events] = true
		}
		if !seen[meshage.Event{Kind: meshage.EventLinkUp, Node: "bob"}] {
			t.Errorf("there was no link in %v", seen)
		}
	}
	done()
	for range first {
	}
	nodes[1].Close()
	for event := range second {
		if event == (meshage.Event{Kind: meshage.EventNodeLeft, Node: "bob"}) {
			break
		}
	}
	nodes[0].Close()
	for range second {
	}
	if _, ok := <-nodes[0].Events(context.Background()); ok {
		t.Error("a closed node has no events")
	}
}

func TestStatsCount(t *testing.T) {
	nodes := named(t, "ada", "bob")
	line(t, nodes...)
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
		t.Error("nothing was counted")
	}
}

func TestCloseWakesEverybodyWhoWaits(t *testing.T) {
	ada, bob, _ := stuffed(t, meshage.Forever)
	calls := []func() error{
		func() error { _, err := ada.Set([]string{"bob"}, "alone"); return err },
		func() error { _, err := ada.Set([]string{"bob"}, "beside"); return err },
		func() error { _, err := ada.SetContext(soon(t), []string{"bob"}, "x"); return err },
		func() error { _, err := ada.Broadcast("x"); return err },
		func() error { _, err := ada.Recv(soon(t)); return err },
		func() error { return ada.WaitFor(soon(t), "nobody") },
	}
	ended := make(chan error, len(calls))
	for _, call := range calls {
		go func() { ended <- call() }()
	}
	began := time.Now()
	ada.Close()
	for range calls {
		// What had left when it closed may have an outcome of its own.
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
		t.Errorf("it took %s", took)
	}
	ada.Close()
	bob.Close()
}

func TestAClosedNodeAnswersSo(t *testing.T) {
	ada := named(t, "ada")[0]
	ada.Close()
	for _, err := range []error{
		ada.Dial("127.0.0.1:1"), ada.Hangup("bob"), ada.WaitFor(soon(t)),
		second(ada.Set([]string{"bob"}, "x")), second(ada.Broadcast("x")), second(ada.Send(&meshage.Message{})),
		second(ada.SetContext(soon(t), []string{"bob"}, 1)),
	} {
		if !errors.Is(err, meshage.ErrClosed) || !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v", err)
		}
	}
	if _, err := ada.Recv(soon(t)); !errors.Is(err, meshage.ErrClosed) {
		t.Errorf("%v", err)
	}
	ada.MSA()
	ada.SetDegree(3)
	ada.SetMSATimeout(3)
	if ada.Name() != "ada" || ada.Port() != 0 || ada.GetDegree() != 0 || ada.GetMSATimeout() != 0 || len(ada.Mesh()) != 0 ||
		ada.Dot() != "" || len(ada.Peers()) != 0 || len(ada.Stats()) != 0 || len(ada.BroadcastRecipients()) != 0 {
		t.Error("it has more than its name")
	}
}

func second(_ []string, err error) error { return err }

func TestASnooperMayCloseItsNode(t *testing.T) {
	namespace := space()
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
	line(t, ada, bob, cid)
	close(started)
	until(t, "a message is seen", func() bool {
		ada.Set([]string{"cid"}, "x")
		select {
		case <-closed:
			return true
		default:
			return false
		}
	})
}

func TestClosedNodesLeaveNothingBehind(t *testing.T) {
	once := func() {
		nodes := named(t, "ada", "bob", "cid")
		line(t, nodes...)
		events := nodes[0].Events(context.Background())
		for _, ctx := range []context.Context{context.Background(), soon(t)} {
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
	once()
	var goroutines int
	until(t, "the goroutines of the first have ended", func() bool {
		goroutines = runtime.NumGoroutine()
		time.Sleep(10 * time.Millisecond)
		return goroutines == runtime.NumGoroutine()
	})
	descriptors, tasks := open(t), threads()
	for i := 0; i < 5; i++ {
		once()
	}
	until(t, "no goroutine is left", func() bool { return runtime.NumGoroutine() <= goroutines })
	until(t, "no descriptor is left", func() bool { return open(t) <= descriptors })
	// The runtime keeps a thread that once waited, to use it again.
	if more := threads() - tasks; more > 6 {
		t.Errorf("%d more threads", more)
	}
}

// open is how many descriptors this process has; 0 where that cannot be known.
func open(t *testing.T) int {
	t.Helper()
	descriptors, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(descriptors)
}

func TestADegreeAndAPeriodBeyondTheirRangeCountAsTheEndOfIt(t *testing.T) {
	ada := named(t, "ada")[0]
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
