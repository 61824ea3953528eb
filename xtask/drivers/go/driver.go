// A node that executes commands, in Go. meshage/examples/driver.rs describes the commands.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"log"
	"net"
	"os"
	"runtime/debug"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"meshage"
)

const (
	labelMax = 64
	// bigMin is the size from which the memory of a body is returned to the system after its use.
	bigMin = 256 << 10
)

// giveBack returns the memory of a big body, which is no longer used, to the system. The runtime
// would keep it for minutes, and the memory of the process would not be what it uses.
func giveBack(length int) {
	if length >= bigMin {
		debug.FreeOSMemory()
	}
}

// output keeps the lines of several goroutines apart.
var output sync.Mutex

func printLine(words ...string) {
	output.Lock()
	defer output.Unlock()
	if _, err := os.Stdout.WriteString(strings.Join(words, " ") + "\n"); err != nil {
		os.Exit(0)
	}
}

var words = map[meshage.Status]string{
	meshage.ErrInvalid:   "invalid",
	meshage.ErrTimeout:   "timeout",
	meshage.ErrAgain:     "again",
	meshage.ErrClosed:    "closed",
	meshage.ErrCanceled:  "canceled",
	meshage.ErrNoRoute:   "no-route",
	meshage.ErrNotFound:  "not-found",
	meshage.ErrExists:    "exists",
	meshage.ErrSelf:      "self",
	meshage.ErrIO:        "io",
	meshage.ErrAddrInUse: "addr-in-use",
	meshage.ErrRefused:   "refused",
	meshage.ErrAuth:      "auth",
	meshage.ErrProtocol:  "protocol",
	meshage.ErrTooLarge:  "too-large",
	meshage.ErrBusy:      "busy",
	meshage.ErrLost:      "lost",
}

func wordOf(err error) string {
	var status meshage.Status
	switch {
	case errors.As(err, &status):
		return words[status]
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "canceled"
	default:
		return "unknown"
	}
}

func result(err error) string {
	if err == nil {
		return "ok"
	}
	return "error " + wordOf(err)
}

// dialed is the result of a dial. Errors that not every language tells apart are "failed".
func dialed(err error) string {
	switch word := wordOf(err); {
	case err == nil:
		return "ok"
	case word == "invalid", word == "timeout", word == "protocol", word == "auth", word == "closed":
		return "error " + word
	default:
		return "error failed"
	}
}

// sent has the outcomes of a send.
func sent(delivered []string, err error) string {
	line := "sent"
	for _, name := range delivered {
		line += " " + name + "=delivered"
	}
	var partial *meshage.SendError
	if errors.As(err, &partial) {
		for _, failed := range partial.Failed {
			line += " " + failed.Recipient + "=" + words[failed.Err]
		}
	} else if err != nil {
		return "error " + wordOf(err)
	}
	return line
}

func joined(names []string) string {
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, ",")
}

func got(message *meshage.Message) string {
	body, ok := message.Body.([]byte)
	if !ok {
		return fmt.Sprintf("got %s with a body of the type %T", message.Source, message.Body)
	}
	label, _, _ := bytes.Cut(body[:min(len(body), labelMax)], []byte("\n"))
	if len(label) == 0 {
		label = []byte("-")
	}
	return fmt.Sprintf("got %s %s %s %d %08x %s", message.Source, joined(message.Recipients),
		joined(message.CurrentRoute), len(body), crc32.ChecksumIEEE(body), label)
}

// bodyOf is the body with a label and a length.
func bodyOf(label string, length int) []byte {
	line := []byte(label + "\n")
	return bytes.Repeat(line, length/len(line)+1)[:length]
}

// optionsOf has a timeout as the option of a send.
func optionsOf(timeout string) meshage.SendOptions {
	switch timeout {
	case "default":
		return meshage.SendOptions{}
	case "forever":
		return meshage.SendOptions{Timeout: meshage.Forever}
	case "0":
		return meshage.SendOptions{Timeout: meshage.AtOnce}
	default:
		return meshage.SendOptions{Timeout: time.Duration(number(timeout)) * time.Millisecond}
	}
}

// limited is a context that ends after a timeout.
func limited(timeout string) (context.Context, context.CancelFunc) {
	if timeout == "default" || timeout == "forever" {
		return context.WithCancel(context.Background())
	}
	return context.WithTimeout(context.Background(), time.Duration(number(timeout))*time.Millisecond)
}

func number(word string) int {
	number, err := strconv.Atoi(word)
	if err != nil {
		log.Fatal(err)
	}
	return number
}

type driver struct {
	node    *meshage.Node
	events  <-chan meshage.Event
	mu      sync.Mutex
	cancels map[string]context.CancelFunc
}

// send starts a send. Sends with a cancelable context and without are different paths: a send is
// cancelable if its token starts with "x".
func (d *driver) send(token string, length int, send func(context.Context) ([]string, error)) {
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	if strings.HasPrefix(token, "x") {
		ctx, cancel = context.WithCancel(ctx)
		d.mu.Lock()
		d.cancels[token] = cancel
		d.mu.Unlock()
	}
	go func() {
		defer cancel()
		printLine(token, sent(send(ctx)))
		giveBack(length)
		d.mu.Lock()
		delete(d.cancels, token)
		d.mu.Unlock()
	}()
}

func (d *driver) cancel(token string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if cancel, ok := d.cancels[token]; ok {
		cancel()
	}
}

func (d *driver) nextEvent(timeout string) string {
	ctx, cancel := limited(timeout)
	defer cancel()
	select {
	case event, ok := <-d.events:
		if !ok {
			return "error closed"
		}
		return eventWords(event)
	case <-ctx.Done():
		return "error timeout"
	}
}

func eventWords(event meshage.Event) string {
	line := "event " + strings.ReplaceAll(event.Kind.String(), " ", "-")
	if event.Node != "" {
		line += " " + event.Node
	}
	switch {
	case event.Kind == meshage.EventNodeLeft && event.Failed:
		line += " failed"
	case event.Kind == meshage.EventNodeLeft:
		line += " left"
	}
	return line
}

func (d *driver) mesh() string {
	var entries []string
	for name, neighbors := range d.node.Mesh() {
		entries = append(entries, name+":"+strings.Join(neighbors, ","))
	}
	sort.Strings(entries)
	return strings.Join(append([]string{"mesh"}, entries...), " ")
}

// wait runs a call that can wait.
func (d *driver) wait(token, timeout string, call func(context.Context) string) {
	go func() {
		ctx, cancel := limited(timeout)
		defer cancel()
		printLine(token, call(ctx))
	}()
}

func (d *driver) execute(token, command string, words []string) {
	node := d.node
	switch command {
	case "set":
		var names []string
		if words[0] != "-" {
			names = strings.Split(words[0], ",")
		}
		length := number(words[2])
		d.send(token, length, func(ctx context.Context) ([]string, error) {
			return node.SetWith(ctx, names, bodyOf(words[1], length), optionsOf(words[3]))
		})
	case "broadcast":
		length := number(words[1])
		d.send(token, length, func(ctx context.Context) ([]string, error) {
			return node.BroadcastWith(ctx, bodyOf(words[0], length), optionsOf(words[2]))
		})
	case "cancel":
		d.cancel(words[0])
		printLine(token, "ok")
	case "dial":
		d.wait(token, words[1], func(ctx context.Context) string {
			return dialed(node.DialContext(ctx, words[0]))
		})
	case "hangup":
		printLine(token, result(node.Hangup(words[0])))
	case "wait":
		d.wait(token, words[1], func(ctx context.Context) string {
			return result(node.WaitFor(ctx, strings.Split(words[0], ",")...))
		})
	case "recv":
		d.wait(token, words[0], func(ctx context.Context) string {
			message, err := node.Recv(ctx)
			if err != nil {
				return result(err)
			}
			return got(message)
		})
	case "event":
		go func() { printLine(token, d.nextEvent(words[0])) }()
	case "listen":
		printLine(token, "ok")
		go func() {
			for message := range node.Messages() {
				printLine(got(message))
				if body, ok := message.Body.([]byte); ok {
					length := len(body)
					message, body = nil, nil
					giveBack(length)
				}
			}
		}()
	case "peers":
		printLine(token, "peers", joined(node.Peers()))
	case "mesh":
		printLine(token, d.mesh())
	case "close":
		go node.Close()
		printLine(token, "ok")
	default:
		printLine(token, "error unknown-command")
	}
}

// port is a port as an option: 0 selects any free port.
func port(value string) int {
	if value == "0" {
		return meshage.AnyPort
	}
	return number(value)
}

func configure(arguments []string) meshage.Config {
	config := meshage.Config{Name: arguments[0]}
	for _, option := range arguments[1:] {
		name, value, _ := strings.Cut(option, "=")
		switch name {
		case "namespace":
			config.Namespace = value
		case "degree":
			config.Degree = uint(number(value))
		case "broadcast":
			config.Broadcast = append(config.Broadcast, net.ParseIP(value))
		case "bind":
			config.Bind = net.ParseIP(value)
		case "port":
			config.Port = port(value)
		case "listen":
			config.ListenPort = port(value)
		case "seed":
			config.Seeds = append(config.Seeds, value)
		case "max_message":
			config.MaxMessage = number(value)
		case "receive_buffer":
			config.ReceiveBuffer = number(value)
		case "timeout":
			config.Timeout = time.Duration(number(value)) * time.Millisecond
		case "key_file":
			config.KeyFile = value
		default:
			log.Fatalf("unknown option %q", name)
		}
	}
	return config
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("driver: ")
	if len(os.Args) < 2 {
		log.Fatal("usage: driver NAME [OPTION=VALUE ...]")
	}
	node, err := meshage.New(configure(os.Args[1:]))
	if err != nil {
		printLine("failed", wordOf(err))
		return
	}
	d := &driver{node: node, cancels: map[string]context.CancelFunc{}}
	d.events = node.Events(context.Background())
	printLine("ready", strconv.Itoa(node.Port()))
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		words := strings.Fields(lines.Text())
		if words[0] == "quit" {
			break
		}
		d.execute(words[0], words[1], words[2:])
	}
	node.Close()
}
