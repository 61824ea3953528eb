package meshage_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"meshage"
)

// program is a node in another language: the project's demo node (examples/demo_node describes its
// commands).
type program struct {
	name     string
	input    io.Writer
	results  chan string
	messages chan string
}

// run starts the program in an environment variable, which has one word per line. It returns nil if
// the variable is not set.
func run(t *testing.T, variable, name, namespace string, port int) *program {
	t.Helper()
	words := os.Getenv(variable)
	if words == "" {
		return nil
	}
	command := strings.Split(words, "\n")
	arguments := append(command[1:], name, namespace, fmt.Sprint(port), "2")
	process := exec.Command(command[0], arguments...)
	process.Stderr = os.Stderr
	input, err := process.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		input.Close()
		process.Wait()
	})
	p := &program{name: name, input: input, results: make(chan string, 100), messages: make(chan string, 100)}
	go func() {
		defer close(p.results)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			if message, ok := strings.CutPrefix(lines.Text(), "got "); ok {
				p.messages <- message
			} else {
				p.results <- lines.Text()
			}
		}
	}()
	if ready := <-p.results; !strings.HasPrefix(ready, "ready ") {
		t.Fatalf("%s wrote %q", name, ready)
	}
	return p
}

func (p *program) execute(line string) string {
	fmt.Fprintln(p.input, line)
	return <-p.results
}

// A node with the original's interface, on a mesh with nodes in C, Python and Rust.
func TestNodesInAllLanguagesFormOneMesh(t *testing.T) {
	namespace, port := newNamespace(), freePort(t)
	var others []*program
	var names []string
	for _, node := range [][2]string{
		{"MESHAGE_NODE_C", "c"}, {"MESHAGE_NODE_PYTHON", "python"}, {"MESHAGE_NODE_RUST", "rust"},
	} {
		if p := run(t, node[0], node[1], namespace, port); p != nil {
			others = append(others, p)
			names = append(names, p.name)
		}
	}
	if len(others) == 0 {
		t.Skip("MESHAGE_NODE_C, MESHAGE_NODE_PYTHON and MESHAGE_NODE_RUST are not set")
	}
	node, messages := meshage.NewNode("go", namespace, 2, net.IPv4(127, 255, 255, 255), port, "v1")
	defer node.Close()
	if err := node.WaitFor(testContext(t), names...); err != nil {
		t.Fatal(err)
	}
	for _, other := range others {
		waitUntil(t, other.name+" has a route to go", func() bool {
			return strings.Contains(other.execute("mesh"), " go:")
		})
	}
	if to, err := node.Set(names, []byte("bytes for you")); err != nil || !reflect.DeepEqual(to, names) {
		t.Errorf("set: %v, %v", to, err)
	}
	if to, err := node.Broadcast("text for you"); err != nil || !reflect.DeepEqual(to, names) {
		t.Errorf("broadcast: %v, %v", to, err)
	}
	for _, other := range others {
		for _, want := range []string{"go bytes for you", "go text for you"} {
			if got := <-other.messages; got != want {
				t.Errorf("%s received %q, expected %q", other.name, got, want)
			}
		}
		if result := other.execute("set go hello from " + other.name); result != "sent 1 0" {
			t.Errorf("%s: %s", other.name, result)
		}
		got := <-messages
		text, ok := got.Body.(string)
		if !ok {
			bytes, _ := got.Body.([]byte)
			text = string(bytes)
		}
		if text != "hello from "+other.name || got.Source != other.name || !reflect.DeepEqual(got.Recipients, []string{"go"}) {
			t.Errorf("%v, %q", got, text)
		}
	}
	if all := len(node.Mesh()); all != len(others)+1 {
		t.Errorf("%d nodes are on the mesh", all)
	}
}
