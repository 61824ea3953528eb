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

func TestAnErrorSaysWhatBecameOfEachRecipient(t *testing.T) {
	nodes := named(t, "ada", "bob")
	line(t, nodes...)
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
		t.Errorf("%v failed", failed.Failed)
	}
	if failed.Timeout() || !failed.Failed[0].Err.NotDelivered() {
		t.Errorf("%v is certain", failed)
	}
	if want := "meshage: nobody: no route: unknown or unreachable; not delivered"; err.Error() != want {
		t.Errorf("%q, not %q", err, want)
	}
	var one *meshage.RecipientError
	if !errors.As(err, &one) || one.Recipient != "nobody" {
		t.Errorf("%v", one)
	}
}

func TestWhatCannotBeSentIsSaidAtOnce(t *testing.T) {
	nodes := named(t, "ada", "bob")
	line(t, nodes...)
	ada := nodes[0]
	huge := make([]byte, 65<<20)
	for _, test := range []struct {
		name string
		send func() ([]string, error)
		want error
	}{
		{"nobody is named", func() ([]string, error) { return ada.Set(nil, "x") }, meshage.ErrInvalid},
		{"no name", func() ([]string, error) { return ada.Set([]string{"not a name"}, "x") }, meshage.ErrInvalid},
		{"no name, as bytes", func() ([]string, error) { return ada.Set([]string{""}, []byte("x")) }, meshage.ErrInvalid},
		{"a zero byte", func() ([]string, error) { return ada.Set([]string{"bob\x00"}, "x") }, meshage.ErrInvalid},
		{"itself alone", func() ([]string, error) { return ada.Set([]string{"ada"}, "x") }, meshage.ErrSelf},
		{"too large", func() ([]string, error) { return ada.Set([]string{"bob"}, huge) }, meshage.ErrTooLarge},
		{"too large, beside others", func() ([]string, error) { return ada.SetContext(soon(t), []string{"bob"}, huge) }, meshage.ErrTooLarge},
		{"nobody known", func() ([]string, error) { return ada.Set([]string{"nobody"}, "x") }, meshage.ErrNoRoute},
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

func TestARecipientListKeepsItsRules(t *testing.T) {
	nodes := named(t, "ada", "bob", "cid")
	line(t, nodes...)
	for _, ctx := range []context.Context{context.Background(), soon(t)} {
		to, err := nodes[0].SetContext(ctx, []string{"cid", "ada", "bob", "cid"}, "x")
		if err != nil || !reflect.DeepEqual(to, []string{"cid", "bob"}) {
			t.Errorf("%v, %v", to, err)
		}
	}
}

func TestABroadcastOnAnEmptyMeshIsNoError(t *testing.T) {
	ada := named(t, "ada")[0]
	for _, ctx := range []context.Context{context.Background(), soon(t)} {
		if to, err := ada.BroadcastContext(ctx, "x"); err != nil || len(to) != 0 {
			t.Errorf("%v, %v", to, err)
		}
	}
}

// stuffed is a pair of nodes of which the second takes nothing and holds as much as it can.
func stuffed(t *testing.T, timeout time.Duration) (ada, bob *meshage.Node, sent int) {
	t.Helper()
	namespace := space()
	ada = start(t, meshage.Config{Name: "ada", Namespace: namespace, Timeout: timeout})
	bob = start(t, meshage.Config{Name: "bob", Namespace: namespace, ReceiveBuffer: 4})
	line(t, ada, bob)
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

func TestAFullReceiverHoldsUpItsSendersAndLosesNothing(t *testing.T) {
	ada, bob, sent := stuffed(t, 300*time.Millisecond)
	// The channel, a batch on its way to it, and the library's queue.
	if sent < 4 || sent > 12 {
		t.Errorf("%d messages were taken", sent)
	}
	_, err := ada.Set([]string{"bob"}, "one more")
	var failed *meshage.SendError
	if !errors.As(err, &failed) || !errors.Is(err, meshage.ErrBusy) && !errors.Is(err, meshage.ErrTimeout) {
		t.Errorf("%v", err)
	}
	for want := 0; want < sent; want++ {
		if got := recv(t, bob); got.Body != want {
			t.Fatalf("%v came instead of %d", got.Body, want)
		}
	}
	until(t, "there is room again", func() bool { _, err := ada.Set([]string{"bob"}, "more"); return err == nil })
}

func TestTheEndOfAContextEndsASend(t *testing.T) {
	ada, _, _ := stuffed(t, meshage.Forever)
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
				t.Errorf("it took %s", took)
			}
			// One that has ended before sends nothing.
			if _, err := ada.SetContext(ctx, []string{"bob"}, "x"); !errors.Is(err, test.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestManyGoroutinesSendAtOnce(t *testing.T) {
	nodes := named(t, "ada", "bob")
	line(t, nodes...)
	const callers, each = 64, 50
	got := make(map[string]int)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; i < callers*each; i++ {
			got[recv(t, nodes[1]).Body.(string)]++
		}
	}()
	before := threads()
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
		t.Errorf("%d different messages came", len(got))
	}
	if more := threads() - before; more > callers/2 {
		t.Errorf("%d goroutines that wait took %d threads", callers, more)
	}
}

// threads is how many there are of this process; 0 where that cannot be known.
func threads() int {
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return 0
	}
	return len(tasks)
}

func TestErrorsAreWhatTheStandardLibraryCallsThem(t *testing.T) {
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
		t.Error("its time was up")
	}
}
