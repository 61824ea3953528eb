package meshage_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"sync"
	"syscall"
	"testing"
	"time"

	"meshage"
)

func TestAnErrorHasTheOutcomeOfEachRecipient(t *testing.T) {
	nodes := startNodes(t, "ada", "bob")
	linkInLine(t, nodes...)
	to, err := nodes[0].Set([]string{"bob", "nobody", "bob"}, "x")
	if !reflect.DeepEqual(to, []string{"bob"}) {
		t.Errorf("delivered to %v", to)
	}
	if !errors.Is(err, meshage.ErrNoRoute) || errors.Is(err, meshage.ErrBusy) {
		t.Errorf("%v", err)
	}
	var failed *meshage.SendError
	if !errors.As(err, &failed) || !reflect.DeepEqual(failed.Delivered, []string{"bob"}) {
		t.Fatalf("%#v", err)
	}
	if want := []*meshage.RecipientError{{Recipient: "nobody", Err: meshage.ErrNoRoute}}; !reflect.DeepEqual(failed.Failed, want) {
		t.Errorf("failed recipients: %v", failed.Failed)
	}
	if failed.Timeout() || !failed.Failed[0].Err.NotDelivered() {
		t.Errorf("the outcome of %v must be certain", failed)
	}
	if want := "meshage: nobody: no route: unknown or unreachable; not delivered"; err.Error() != want {
		t.Errorf("got %q, expected %q", err, want)
	}
	var one *meshage.RecipientError
	if !errors.As(err, &one) || one.Recipient != "nobody" {
		t.Errorf("%v", one)
	}
}

func TestAnInvalidSendFailsImmediately(t *testing.T) {
	nodes := startNodes(t, "ada", "bob")
	linkInLine(t, nodes...)
	ada := nodes[0]
	huge := make([]byte, 65<<20)
	for _, test := range []struct {
		name string
		send func() ([]string, error)
		want error
	}{
		{"no recipient", func() ([]string, error) { return ada.Set(nil, "x") }, meshage.ErrInvalid},
		{"an invalid name", func() ([]string, error) { return ada.Set([]string{"not a name"}, "x") }, meshage.ErrInvalid},
		{"an invalid name, with bytes", func() ([]string, error) { return ada.Set([]string{""}, []byte("x")) }, meshage.ErrInvalid},
		{"a NUL byte", func() ([]string, error) { return ada.Set([]string{"bob\x00"}, "x") }, meshage.ErrInvalid},
		{"only the node itself", func() ([]string, error) { return ada.Set([]string{"ada"}, "x") }, meshage.ErrSelf},
		{"too large", func() ([]string, error) { return ada.Set([]string{"bob"}, huge) }, meshage.ErrTooLarge},
		{"too large, with a context", func() ([]string, error) { return ada.SetContext(testContext(t), []string{"bob"}, huge) }, meshage.ErrTooLarge},
		{"an unknown node", func() ([]string, error) { return ada.Set([]string{"nobody"}, "x") }, meshage.ErrNoRoute},
		{"an announcement", func() ([]string, error) {
			return ada.Send(&meshage.Message{Recipients: []string{"bob"}, Command: meshage.MSA})
		}, meshage.ErrInvalid},
	} {
		t.Run(test.name, func(t *testing.T) {
			to, err := test.send()
			if len(to) != 0 || !errors.Is(err, test.want) {
				t.Errorf("%v, %v", to, err)
			}
		})
	}
}

func TestDuplicatesAndTheSenderAreRemovedFromTheRecipients(t *testing.T) {
	nodes := startNodes(t, "ada", "bob", "cid")
	linkInLine(t, nodes...)
	for _, ctx := range []context.Context{context.Background(), testContext(t)} {
		to, err := nodes[0].SetContext(ctx, []string{"cid", "ada", "bob", "cid"}, "x")
		if err != nil || !reflect.DeepEqual(to, []string{"cid", "bob"}) {
			t.Errorf("%v, %v", to, err)
		}
	}
}

func TestABroadcastOnAnEmptyMeshIsNoError(t *testing.T) {
	ada := startNodes(t, "ada")[0]
	for _, ctx := range []context.Context{context.Background(), testContext(t)} {
		if to, err := ada.BroadcastContext(ctx, "x"); err != nil || len(to) != 0 {
			t.Errorf("%v, %v", to, err)
		}
	}
}

// fullRecipient starts a pair of nodes. The second receives no messages, and all of its queues are
// full.
func fullRecipient(t *testing.T, timeout time.Duration) (ada, bob *meshage.Node, sent int) {
	t.Helper()
	namespace := newNamespace()
	ada = start(t, meshage.Config{Name: "ada", Namespace: namespace, Timeout: timeout})
	bob = start(t, meshage.Config{Name: "bob", Namespace: namespace, ReceiveBuffer: 4})
	linkInLine(t, ada, bob)
	for {
		ctx, done := context.WithTimeout(context.Background(), 500*time.Millisecond)
		_, err := ada.SetContext(ctx, []string{"bob"}, sent)
		done()
		if err != nil {
			return ada, bob, sent
		}
		sent++
	}
}

func TestAFullRecipientDelaysItsSendersAndLosesNoMessage(t *testing.T) {
	ada, bob, sent := fullRecipient(t, 300*time.Millisecond)
	// The channel, a batch in flight to it, and the library's queue.
	if sent < 4 || sent > 12 {
		t.Errorf("%d messages were accepted", sent)
	}
	_, err := ada.Set([]string{"bob"}, "one more")
	var failed *meshage.SendError
	if !errors.As(err, &failed) || !errors.Is(err, meshage.ErrBusy) && !errors.Is(err, meshage.ErrTimeout) {
		t.Errorf("%v", err)
	}
	for want := 0; want < sent; want++ {
		if got := recv(t, bob); got.Body != want {
			t.Fatalf("received %v instead of %d", got.Body, want)
		}
	}
	waitUntil(t, "the recipient has room again", func() bool { _, err := ada.Set([]string{"bob"}, "more"); return err == nil })
}

func TestTheEndOfAContextEndsASend(t *testing.T) {
	ada, _, _ := fullRecipient(t, meshage.Forever)
	reason := errors.New("enough")
	for _, test := range []struct {
		name string
		ctx  func() (context.Context, func())
		want error
	}{
		{"a deadline", func() (context.Context, func()) {
			return context.WithTimeout(context.Background(), 50*time.Millisecond)
		}, context.DeadlineExceeded},
		{"a cancellation", func() (context.Context, func()) {
			ctx, cancel := context.WithCancel(context.Background())
			time.AfterFunc(50*time.Millisecond, cancel)
			return ctx, cancel
		}, context.Canceled},
		{"a reason", func() (context.Context, func()) {
			ctx, cancel := context.WithCancelCause(context.Background())
			time.AfterFunc(50*time.Millisecond, func() { cancel(reason) })
			return ctx, func() { cancel(nil) }
		}, reason},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, done := test.ctx()
			defer done()
			began := time.Now()
			to, err := ada.SetContext(ctx, []string{"bob"}, "x")
			if len(to) != 0 || !errors.Is(err, test.want) {
				t.Errorf("%v, %v", to, err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("the send took %s", took)
			}
			// A context that has already ended sends nothing.
			if _, err := ada.SetContext(ctx, []string{"bob"}, "x"); !errors.Is(err, test.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

// lateTimer is a context whose timer runs later than its deadline.
type lateTimer struct {
	context.Context
	deadline time.Time
}

func (c lateTimer) Deadline() (time.Time, bool) { return c.deadline, true }

func TestASendThatEndsAtTheDeadlineHasItAsItsCause(t *testing.T) {
	ada, _, _ := fullRecipient(t, meshage.Forever)
	for i := 0; i < 10; i++ {
		ctx := lateTimer{testContext(t), time.Now().Add(20 * time.Millisecond)}
		_, err := ada.SetContext(ctx, []string{"bob"}, "x")
		// The recipient's queue is full, or the message is in flight: both end at the deadline.
		if !errors.Is(err, meshage.ErrBusy) && !errors.Is(err, meshage.ErrTimeout) {
			t.Errorf("%v", err)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no cause: %v", err)
		}
	}
	ctx := lateTimer{testContext(t), time.Now().Add(time.Hour)}
	_, err := ada.SetContext(ctx, []string{"nobody"}, "x")
	if !errors.Is(err, meshage.ErrNoRoute) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the deadline is not the cause: %v", err)
	}
}

func TestASendAtOnceDoesNotWaitAndItsOutcomeIsUnknown(t *testing.T) {
	nodes := startNodes(t, "ada", "relay", "bob")
	linkInLine(t, nodes...)
	atOnce := meshage.SendOptions{Timeout: meshage.AtOnce}
	const messages = 300
	for i := 0; i < messages; i++ {
		// Every other one with a context that can end.
		ctx := context.Background()
		if i%2 == 0 {
			ctx = testContext(t)
		}
		_, err := nodes[0].SetWith(ctx, []string{"bob"}, i, atOnce)
		if !errors.Is(err, meshage.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("%v", err)
		}
	}
	for i := 0; i < messages; i++ {
		if got := recv(t, nodes[2]); got.Body != i {
			t.Fatalf("received %v instead of %d", got.Body, i)
		}
	}
	_, err := nodes[0].SetWith(context.Background(), []string{"nobody"}, "x", atOnce)
	if !errors.Is(err, meshage.ErrNoRoute) {
		t.Errorf("%v", err)
	}
	_, err = nodes[0].BroadcastWith(context.Background(), "all", atOnce)
	var failed *meshage.SendError
	if !errors.As(err, &failed) || len(failed.Failed) != 2 || !failed.Timeout() {
		t.Errorf("%v", err)
	}
	recv(t, nodes[2])
}

func TestARetriedMessageArrivesAtANodeThatJoinsLater(t *testing.T) {
	namespace := newNamespace()
	ada := start(t, meshage.Config{Name: "ada", Namespace: namespace})
	all := start(t, meshage.Config{Name: "all", Namespace: namespace, Retry: true})
	if _, err := ada.SetContext(testContext(t), []string{"late"}, "x"); !errors.Is(err, meshage.ErrNoRoute) {
		t.Errorf("%v", err)
	}
	short := meshage.SendOptions{Retry: true, Timeout: 20 * time.Millisecond}
	if _, err := ada.SetWith(testContext(t), []string{"late"}, "x", short); !errors.Is(err, meshage.ErrNoRoute) {
		t.Errorf("%v", err)
	}
	retry := meshage.SendOptions{Retry: true, Timeout: meshage.Forever}
	to := &meshage.Message{Recipients: []string{"late"}, Body: "x"}
	sent := make(chan error, 5)
	go func() { sent <- second(ada.SetWith(context.Background(), []string{"late"}, []byte("x"), retry)) }()
	go func() { sent <- second(ada.SetWith(testContext(t), []string{"late"}, "x", retry)) }()
	go func() { sent <- second(ada.SendWith(context.Background(), to, retry)) }()
	go func() { sent <- second(all.Set([]string{"late"}, "x")) }()
	go func() { sent <- second(all.SendContext(testContext(t), to)) }()
	waitUntil(t, "all are outstanding", func() bool {
		return ada.Stats()["sends_under_way"] == 3 && all.Stats()["sends_under_way"] == 2
	})
	late := start(t, meshage.Config{Name: "late", Namespace: namespace})
	linkInLine(t, all, ada, late)
	for i := 0; i < cap(sent); i++ {
		if err := <-sent; err != nil {
			t.Error(err)
		}
		recv(t, late)
	}
}

func TestAnInvalidTimeoutOfASendIsAnError(t *testing.T) {
	ada := startNodes(t, "ada")[0]
	for _, timeout := range []time.Duration{-3, -time.Second, 1 << 62} {
		_, err := ada.SetWith(context.Background(), []string{"bob"}, "x", meshage.SendOptions{Timeout: timeout})
		if !errors.Is(err, meshage.ErrInvalid) {
			t.Errorf("%s: %v", timeout, err)
		}
	}
}

func TestManyGoroutinesSendAtOnce(t *testing.T) {
	nodes := startNodes(t, "ada", "bob")
	linkInLine(t, nodes...)
	const callers, each = 64, 50
	got := make(map[string]int)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; i < callers*each; i++ {
			got[recv(t, nodes[1]).Body.(string)]++
		}
	}()
	before := threadCount()
	var all sync.WaitGroup
	for caller := 0; caller < callers; caller++ {
		all.Add(1)
		go func() {
			defer all.Done()
			for i := 0; i < each; i++ {
				if _, err := nodes[0].Set([]string{"bob"}, fmt.Sprintf("%d-%d", caller, i)); err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	all.Wait()
	<-done
	if len(got) != callers*each {
		t.Errorf("%d different messages were received", len(got))
	}
	if more := threadCount() - before; more > callers/2 {
		t.Errorf("%d waiting goroutines used %d threads", callers, more)
	}
}

// threadCount returns the number of threads of this process, or 0 if it is unknown.
func threadCount() int {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0
	}
	return len(tasks)
}

func TestErrorsMatchThoseOfTheStandardLibrary(t *testing.T) {
	for _, test := range []struct {
		status meshage.Status
		same   error
	}{
		{meshage.ErrTimeout, os.ErrDeadlineExceeded},
		{meshage.ErrClosed, net.ErrClosed},
		{meshage.ErrAddrInUse, syscall.EADDRINUSE},
	} {
		err := error(&meshage.OpError{Op: "new", Err: test.status})
		if !errors.Is(err, test.same) || !errors.Is(err, test.status) || errors.Is(err, meshage.ErrBusy) {
			t.Errorf("%v is not %v", err, test.same)
		}
	}
	var timed net.Error
	_ = timed
	if err := (&meshage.OpError{Op: "dial", Err: meshage.ErrTimeout}); !err.Timeout() {
		t.Error("a timeout must report Timeout")
	}
}
