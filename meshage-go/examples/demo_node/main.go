// One node of the demo, and of the tests with whole processes: told on standard input what to do, it
// says on standard output what happened.
//
//	demo_node NAME NAMESPACE UDP_PORT DEGREE [BROADCAST]
//
//	in:   set NAME TEXT    broadcast TEXT    peers    mesh    quit
//	out:  ready PORT               once, when it listens
//	      got SOURCE TEXT          for each message
//	      sent DELIVERED FAILED    how many recipients have it, and how many have not
//	      peers a b                the nodes it has links to
//	      mesh a:b,c b:a           each node it knows, with its neighbours
//
// The programs demo_node.c, demo_node.rs and demo_node.py do the same.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"

	"meshage"
)

// Lines of several goroutines do not mix.
var output sync.Mutex

func say(format string, values ...any) {
	output.Lock()
	defer output.Unlock()
	fmt.Printf(format+"\n", values...)
}

// sent says what became of a send.
func sent(delivered []string, err error) {
	failed := 0
	if err != nil {
		log.Print(err)
		failed = 1
	}
	var some *meshage.SendError
	if errors.As(err, &some) {
		failed = len(some.Failed)
	}
	say("sent %d %d", len(delivered), failed)
}

func mesh(node *meshage.Node) {
	topology := node.Mesh()
	words := []string{"mesh"}
	for name, neighbors := range topology {
		words = append(words, name+":"+strings.Join(neighbors, ","))
	}
	sort.Strings(words[1:])
	say("%s", strings.Join(words, " "))
}

// obey does what a line says; false when it says to end.
func obey(node *meshage.Node, line string) bool {
	command, rest, _ := strings.Cut(line, " ")
	switch command {
	case "set":
		name, text, _ := strings.Cut(rest, " ")
		sent(node.Set([]string{name}, text))
	case "broadcast":
		sent(node.Broadcast(rest))
	case "peers":
		say("%s", strings.Join(append([]string{"peers"}, node.Peers()...), " "))
	case "mesh":
		mesh(node)
	case "quit":
		return false
	default:
		log.Fatalf("no command %q", command)
	}
	return true
}

func number(word string) int {
	number, err := strconv.Atoi(word)
	if err != nil {
		log.Fatal(err)
	}
	return number
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("demo_node: ")
	if len(os.Args) != 5 && len(os.Args) != 6 {
		log.Fatal("usage: demo_node NAME NAMESPACE UDP_PORT DEGREE [BROADCAST]")
	}
	reach := net.IPv4(127, 255, 255, 255)
	if len(os.Args) == 6 {
		reach = net.ParseIP(os.Args[5])
	}
	node, err := meshage.New(meshage.Config{
		Name:       os.Args[1],
		Namespace:  os.Args[2],
		Port:       number(os.Args[3]),
		ListenPort: meshage.AnyPort,
		Degree:     uint(number(os.Args[4])),
		Broadcast:  []net.IP{reach},
	})
	if err != nil {
		log.Fatal(err)
	}
	say("ready %d", node.Port())
	go func() {
		for message := range node.Messages() {
			say("got %s %s", message.Source, message.Body)
		}
	}()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan() && obey(node, lines.Text()); {
	}
	node.Close()
}
