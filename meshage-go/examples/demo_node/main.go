// A node of the demo and of the tests with separate processes. It reads commands from
// standard input and writes the results to standard output.
//
//	demo_node NAME NAMESPACE UDP_PORT DEGREE [BROADCAST]
//
//	in:   set NAME TEXT    broadcast TEXT    peers    mesh    quit
//	out:  ready PORT               once, when the node listens
//	      got SOURCE TEXT          for each message
//	      sent DELIVERED FAILED    the number of successful and failed recipients
//	      peers a b                the nodes that it has links to
//	      mesh a:b,c b:a           each known node with its neighbours
//
// The programs demo_node.c, demo_node.rs and demo_node.py behave the same.
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

// output keeps the lines of several goroutines apart.
var output sync.Mutex

func printLine(format string, values ...any) {
	output.Lock()
	defer output.Unlock()
	fmt.Printf(format+"\n", values...)
}

// printResult prints the result of a send.
func printResult(delivered []string, err error) {
	failed := 0
	if err != nil {
		log.Print(err)
		failed = 1
	}
	var partial *meshage.SendError
	if errors.As(err, &partial) {
		failed = len(partial.Failed)
	}
	printLine("sent %d %d", len(delivered), failed)
}

func printMesh(node *meshage.Node) {
	topology := node.Mesh()
	words := []string{"mesh"}
	for name, neighbors := range topology {
		words = append(words, name+":"+strings.Join(neighbors, ","))
	}
	sort.Strings(words[1:])
	printLine("%s", strings.Join(words, " "))
}

// execute runs the command in a line. It returns false for quit.
func execute(node *meshage.Node, line string) bool {
	command, rest, _ := strings.Cut(line, " ")
	switch command {
	case "set":
		name, text, _ := strings.Cut(rest, " ")
		printResult(node.Set([]string{name}, text))
	case "broadcast":
		printResult(node.Broadcast(rest))
	case "peers":
		printLine("%s", strings.Join(append([]string{"peers"}, node.Peers()...), " "))
	case "mesh":
		printMesh(node)
	case "quit":
		return false
	default:
		log.Fatalf("unknown command %q", command)
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
	broadcast := net.IPv4(127, 255, 255, 255)
	if len(os.Args) == 6 {
		broadcast = net.ParseIP(os.Args[5])
	}
	node, err := meshage.New(meshage.Config{
		Name:       os.Args[1],
		Namespace:  os.Args[2],
		Port:       number(os.Args[3]),
		ListenPort: meshage.AnyPort,
		Degree:     uint(number(os.Args[4])),
		Broadcast:  []net.IP{broadcast},
		KeyFile:    os.Getenv("MESHAGE_KEY_FILE"),
	})
	if err != nil {
		log.Fatal(err)
	}
	printLine("ready %d", node.Port())
	go func() {
		for message := range node.Messages() {
			printLine("got %s %s", message.Source, message.Body)
		}
	}()
	for lines := bufio.NewScanner(os.Stdin); lines.Scan() && execute(node, lines.Text()); {
	}
	node.Close()
}
