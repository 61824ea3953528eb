package meshage_test

import (
	"fmt"
	"net"
	"reflect"
	"testing"
	"time"

	"meshage"
)

// The original's public interface: all of its names and types.
var (
	_ = [...]int{meshage.ACK, meshage.MSA, meshage.MESSAGE}
	_ = [...]int{
		meshage.DEFAULT_TIMEOUT, meshage.RECEIVE_BUFFER, meshage.DEFAULT_MSA_TIMEOUT,
		meshage.SOLICIT_LIMIT, meshage.SOLICIT_RATIO, meshage.LOLLIPOP_LENGTH,
	}

	_ func(string, string, uint, net.IP, int, string) (*meshage.Node, chan *meshage.Message) = meshage.NewNode

	_ fmt.Stringer                                                 = (*meshage.Message)(nil)
	_ func(*meshage.Node, interface{}) ([]string, error)           = (*meshage.Node).Broadcast
	_ func(*meshage.Node) []string                                 = (*meshage.Node).BroadcastRecipients
	_ func(*meshage.Node, string) error                            = (*meshage.Node).Dial
	_ func(*meshage.Node) string                                   = (*meshage.Node).Dot
	_ func(*meshage.Node) uint                                     = (*meshage.Node).GetDegree
	_ func(*meshage.Node) time.Duration                            = (*meshage.Node).GetMSATimeout
	_ func(*meshage.Node, string) error                            = (*meshage.Node).Hangup
	_ func(*meshage.Node)                                          = (*meshage.Node).MSA
	_ func(*meshage.Node) string                                   = (*meshage.Node).Name
	_ func(*meshage.Node, *meshage.Message) ([]string, error)      = (*meshage.Node).Send
	_ func(*meshage.Node, []string, interface{}) ([]string, error) = (*meshage.Node).Set
	_ func(*meshage.Node, uint)                                    = (*meshage.Node).SetDegree
	_ func(*meshage.Node, uint)                                    = (*meshage.Node).SetMSATimeout
)

func TestConstantsEqualTheOriginals(t *testing.T) {
	got := []int{
		meshage.ACK, meshage.MSA, meshage.MESSAGE, meshage.DEFAULT_TIMEOUT, meshage.RECEIVE_BUFFER,
		meshage.DEFAULT_MSA_TIMEOUT, meshage.SOLICIT_LIMIT, meshage.SOLICIT_RATIO, meshage.LOLLIPOP_LENGTH,
	}
	if want := []int{0, 1, 2, 10, 1024, 10, 16, 8, 16}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, expected %v", got, want)
	}
}

// A program for the original. It uses every name of the original's interface.
func TestAProgramForTheOriginalRuns(t *testing.T) {
	port, namespace := freePort(t), newNamespace()
	node, messages := meshage.NewNode("ada", namespace, 1, net.IPv4(127, 255, 255, 255), port, "v1")
	defer node.Close()
	snooped := make(chan *meshage.Message, 1)
	node.Snoop = func(m *meshage.Message) { snooped <- m }
	others := make([]*meshage.Node, 2)
	for i, name := range []string{"bob", "cid"} {
		others[i] = start(t, meshage.Config{Name: name, Namespace: namespace, Port: port, ListenPort: meshage.AnyPort})
	}
	// bob is found by solicitation or dialled. cid receives no solicitations and is dialled.
	waitUntil(t, "ada has found a node by itself", func() bool { return len(node.Mesh()) > 1 })
	for _, other := range others {
		node.Dial(address(other))
	}
	waitUntil(t, "a broadcast would be sent to both", func() bool { return len(node.BroadcastRecipients()) == 2 })
	for _, other := range others {
		if err := other.WaitFor(testContext(t), "ada", "bob", "cid"); err != nil {
			t.Fatal(err)
		}
	}

	var topology map[string][]string = node.Mesh()
	if want := map[string][]string{"ada": {"bob", "cid"}, "bob": {"ada"}, "cid": {"ada"}}; !reflect.DeepEqual(topology, want) {
		t.Errorf("the mesh is %v", topology)
	}
	if dot := node.Dot(); len(dot) == 0 {
		t.Error("Dot returned no text")
	}
	if node.Name() != "ada" || node.GetDegree() != 1 || node.GetMSATimeout() != 10*time.Second {
		t.Errorf("%s, degree %d, MSA timeout %s", node.Name(), node.GetDegree(), node.GetMSATimeout())
	}
	node.SetDegree(2)
	node.SetMSATimeout(5)
	if node.GetDegree() != 2 || node.GetMSATimeout() != 5*time.Second {
		t.Errorf("degree %d, MSA timeout %s", node.GetDegree(), node.GetMSATimeout())
	}
	node.MSA()

	if to, err := node.Set([]string{"bob"}, []byte("to bob")); err != nil || !reflect.DeepEqual(to, []string{"bob"}) {
		t.Errorf("set: %v, %v", to, err)
	}
	if to, err := node.Broadcast("to all"); err != nil || !reflect.DeepEqual(to, []string{"bob", "cid"}) {
		t.Errorf("broadcast: %v, %v", to, err)
	}
	message := &meshage.Message{Recipients: []string{"cid"}, Source: "ada", Command: meshage.MESSAGE, Body: 42}
	if to, err := node.Send(message); err != nil || !reflect.DeepEqual(to, []string{"cid"}) {
		t.Errorf("send: %v, %v", to, err)
	}
	if got := recv(t, others[0]); string(got.Body.([]byte)) != "to bob" || got.Source != "ada" || got.Command != meshage.MESSAGE {
		t.Errorf("bob received %v", got)
	}
	if got := recv(t, others[1]); got.Body != "to all" || len(got.Recipients) != 0 || got.ID == 0 || got.Instance == 0 {
		t.Errorf("cid received %v", got)
	}
	if got := recv(t, others[1]); got.Body != 42 {
		t.Errorf("cid received %v", got)
	}

	if _, err := others[0].Set([]string{"ada", "cid"}, "through ada"); err != nil {
		t.Error(err)
	}
	got := <-messages
	if want := (&meshage.Message{
		Recipients: []string{"ada", "cid"}, Source: "bob", Instance: got.Instance, CurrentRoute: []string{"bob"},
		ID: got.ID, Command: meshage.MESSAGE, Body: "through ada",
	}); !reflect.DeepEqual(got, want) {
		t.Errorf("ada received %v", got)
	}
	waitUntil(t, "ada snooped a message to cid", func() bool {
		if _, err := others[0].Set([]string{"cid"}, "past ada"); err != nil {
			t.Fatal(err)
		}
		return len(snooped) > 0
	})
	if got := <-snooped; got.Body != "past ada" || got.Source != "bob" {
		t.Errorf("ada snooped %v", got)
	}

	if err := node.Hangup("cid"); err != nil {
		t.Error(err)
	}
	if err := node.Hangup("nobody"); err == nil {
		t.Error("hanging up on an unknown node succeeded")
	}
}
