package meshage_test

import (
	"encoding/gob"
	"math"
	"reflect"
	"strings"
	"testing"

	"meshage"
)

type item struct {
	Name  string
	Parts map[string][]float64
	Next  *item
}

func init() {
	gob.Register(item{})
	gob.Register(map[string]int{})
	gob.Register([]string{})
}

func TestABodyIsReceivedAsTheTypeThatWasSent(t *testing.T) {
	nodes := startNodes(t, "ada", "bob")
	linkInLine(t, nodes...)
	for _, test := range []struct {
		name string
		body interface{}
	}{
		{"bytes", []byte("abc\x00\xff")},
		{"empty bytes", []byte{}},
		{"text", "grüße"},
		{"empty text", ""},
		{"nil", nil},
		{"a number", 42},
		{"an unsigned number", uint64(math.MaxUint64)},
		{"a fraction", 1.5},
		{"a boolean", true},
		{"names", []string{"a", "b"}},
		{"a map", map[string]int{"a": 1}},
		{"a struct", item{"a", map[string][]float64{"x": {1, 2}}, &item{Name: "b"}}},
		{"JSON", meshage.Encoded{Encoding: meshage.EncodingJSON, Data: []byte(`{"a":1}`)}},
		{"an application's encoding", meshage.Encoded{Encoding: meshage.EncodingApplication + 7, Data: []byte("x")}},
		{"a large body", []byte(strings.Repeat("0123456789abcdef", 1<<18))},
		{"an invalid gob", meshage.Encoded{Encoding: meshage.EncodingGob, Data: []byte("no gob")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := nodes[0].Set([]string{"bob"}, test.body); err != nil {
				t.Fatal(err)
			}
			if got := recv(t, nodes[1]).Body; !reflect.DeepEqual(got, test.body) {
				t.Errorf("received a %T, expected a %T", got, test.body)
			}
		})
	}
}

func TestABodyThatGobCannotEncodeIsAnError(t *testing.T) {
	nodes := startNodes(t, "ada", "bob")
	linkInLine(t, nodes...)
	type unregistered struct{ A int }
	for _, body := range []interface{}{unregistered{1}, func() {}, make(chan int)} {
		if to, err := nodes[0].Set([]string{"bob"}, body); err == nil {
			t.Errorf("a %T was sent to %v", body, to)
		}
	}
}

func TestABodyIsCopiedByTheSend(t *testing.T) {
	nodes := startNodes(t, "ada", "bob")
	linkInLine(t, nodes...)
	body := []byte("before")
	if _, err := nodes[0].Set([]string{"bob"}, body); err != nil {
		t.Fatal(err)
	}
	copy(body, "after!")
	if got := recv(t, nodes[1]); string(got.Body.([]byte)) != "before" {
		t.Errorf("received %s", got.Body)
	}
}

func TestStringDescribesAMessage(t *testing.T) {
	for _, test := range []struct {
		message meshage.Message
		want    string
	}{
		{meshage.Message{ID: 3, Source: "ada", Body: []byte("abc")}, `message 3 from "ada" to all nodes, route []: 3 bytes`},
		{
			meshage.Message{Recipients: []string{"bob", "cid"}, CurrentRoute: []string{"ada", "dan"}, Body: "abc"},
			`message 0 from "" to [bob cid], route [ada dan]: 3 bytes of text`,
		},
		{meshage.Message{Body: 42}, `message 0 from "" to all nodes, route []: a int`},
		{meshage.Message{}, `message 0 from "" to all nodes, route []: no body`},
	} {
		if got := test.message.String(); got != test.want {
			t.Errorf("got %s, expected %s", got, test.want)
		}
	}
}
