package meshage_test

import (
	"encoding/gob"
	"math"
	"reflect"
	"strings"
	"testing"

	"meshage"
)

type thing struct {
	Name  string
	Parts map[string][]float64
	Next  *thing
}

func init() {
	gob.Register(thing{})
	gob.Register(map[string]int{})
	gob.Register([]string{})
}

func TestABodyArrivesAsWhatItWas(t *testing.T) {
	nodes := named(t, "ada", "bob")
	line(t, nodes...)
	for _, test := range []struct {
		name string
		body interface{}
	}{
		{"bytes", []byte("abc\x00\xff")},
		{"no bytes", []byte{}},
		{"text", "grüße"},
		{"no text", ""},
		{"nothing", nil},
		{"a number", 42},
		{"another kind of number", uint64(math.MaxUint64)},
		{"a fraction", 1.5},
		{"a truth", true},
		{"names", []string{"a", "b"}},
		{"a map", map[string]int{"a": 1}},
		{"a struct", thing{"a", map[string][]float64{"x": {1, 2}}, &thing{Name: "b"}}},
		{"JSON", meshage.Encoded{Encoding: meshage.EncodingJSON, Data: []byte(`{"a":1}`)}},
		{"an application's own", meshage.Encoded{Encoding: meshage.EncodingApplication + 7, Data: []byte("x")}},
		{"a large one", []byte(strings.Repeat("0123456789abcdef", 1<<18))},
		{"a gob that is none", meshage.Encoded{Encoding: meshage.EncodingGob, Data: []byte("no gob")}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if _, err := nodes[0].Set([]string{"bob"}, test.body); err != nil {
				t.Fatal(err)
			}
			if got := recv(t, nodes[1]).Body; !reflect.DeepEqual(got, test.body) {
				t.Errorf("%T, not %T", got, test.body)
			}
		})
	}
}

func TestABodyThatGobCannotTakeIsAnError(t *testing.T) {
	nodes := named(t, "ada", "bob")
	line(t, nodes...)
	type unregistered struct{ A int }
	for _, body := range []interface{}{unregistered{1}, func() {}, make(chan int)} {
		if to, err := nodes[0].Set([]string{"bob"}, body); err == nil {
			t.Errorf("a %T went to %v", body, to)
		}
	}
}

func TestABodyIsCopiedAtOnce(t *testing.T) {
	nodes := named(t, "ada", "bob")
	line(t, nodes...)
	body := []byte("before")
	if _, err := nodes[0].Set([]string{"bob"}, body); err != nil {
		t.Fatal(err)
	}
	copy(body, "after!")
	if got := recv(t, nodes[1]); string(got.Body.([]byte)) != "before" {
		t.Errorf("it got %s", got.Body)
	}
}

func TestAMessageDescribesItself(t *testing.T) {
	for _, test := range []struct {
		message meshage.Message
		want    string
	}{
		{meshage.Message{ID: 3, Source: "ada", Body: []byte("abc")}, `message 3 from "ada" to everybody by way of []: 3 bytes`},
		{
			meshage.Message{Recipients: []string{"bob", "cid"}, CurrentRoute: []string{"ada", "dan"}, Body: "abc"},
			`message 0 from "" to [bob cid] by way of [ada dan]: 3 bytes of text`,
		},
		{meshage.Message{Body: 42}, `message 0 from "" to everybody by way of []: a int`},
		{meshage.Message{}, `message 0 from "" to everybody by way of []: no body`},
	} {
		if got := test.message.String(); got != test.want {
			t.Errorf("%s, not %s", got, test.want)
		}
	}
}
