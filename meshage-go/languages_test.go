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

// program is a node in another language: the project's demo node (examples/demo_node says how it is
// spoken to).
type program struct {
	name    string
	input   io.Writer
	answers chan string
	got     chan string
}

// run starts the program that a variable names, a word a line; nil where it names none.
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
	p := &program{name: name, input: input, answers: make(chan string, 100), got: make(chan string, 100)}
	go func() {
		defer close(p.answers)
		for lines := bufio.NewScanner(output); lines.Scan(); {
			if message, ok := strings.CutPrefix(lines.Text(), "got "); ok {
				p.got <- message
			} else {
				p.answers <- lines.Text()
			}
		}
	}()
	if ready := <-p.answers; !strings.HasPrefix(ready, "ready ") {
		t.Fatalf("%s said %q", name, ready)
	}
	return p
}

func (p *program) ask(line string) string {
	fmt.Fprintln(p.input, line)
	return <-p.answers
}

// A node of the original's interface, on a mesh with nodes in C, Python and Rust.
func TestNodesOfAllLanguagesAreOneMesh(t *testing.T) {
	namespace, port := space(), freePort(t)
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
		t.Skip("MESHAGE_NODE_C, MESHAGE_NODE_PYTHON and MESHAGE_NODE_RUST name no programs")
	}
	node, messages := meshage.NewNode("go", namespace, 2, net.IPv4(127, 255, 255, 255), port, "v1")
	defer node.Close()
	if err := node.WaitFor(soon(t), names...); err != nil {
		t.Fatal(err)
	}
	for _, other := range others {
		until(t, other.name+" knows the way back", func() bool {
			return strings.Contains(other.ask("mesh"), " go:")
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
			if got := <-other.got; got != want {
				t.Errorf("%s got %q, not %q", other.name, got, want)
			}
		}
		if answer := other.ask("set go hello from " + other.name); answer != "sent 1 0" {
			t.Errorf("%s: %s", other.name, answer)
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
