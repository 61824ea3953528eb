package meshage

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"bytes"
	"strings"
	"sync"
	"unsafe"
)

// cString copies a string to memory of C's, which is the caller's to free.
func cString(op, what, value string) (*C.char, error) {
	if strings.IndexByte(value, 0) >= 0 {
		return nil, &OpError{Op: op, Err: ErrInvalid, Detail: "the " + what + " holds a zero byte"}
	}
	return C.CString(value), nil
}

// words copies and frees a text of the shim's: strings that each end with a zero byte.
func words(t C.mg_text) []string {
	defer C.free(unsafe.Pointer(t.data))
	if t.len == 0 {
		return nil
	}
	whole := C.GoStringN(t.data, C.int(t.len-1))
	return strings.Split(whole, "\x00")
}

// A packer puts names one after the other, as the shim wants them.
type packer struct {
	names []byte
}

var packers = sync.Pool{New: func() any { return &packer{names: make([]byte, 0, 256)} }}

// pack packs names; put the packer back when the call has returned.
func pack(op string, names []string) (*packer, error) {
	p := packers.Get().(*packer)
	p.names = p.names[:0]
	for _, name := range names {
		if strings.IndexByte(name, 0) >= 0 {
			p.put()
			return nil, &OpError{Op: op, Err: ErrInvalid, Detail: "a name holds a zero byte"}
		}
		p.names = append(append(p.names, name...), 0)
	}
	return p, nil
}

func (p *packer) pointer() *C.char {
	return (*C.char)(unsafe.Pointer(unsafe.SliceData(p.names)))
}

func (p *packer) put() { packers.Put(p) }

// How many different names are kept: more than most meshes have nodes.
const internedMax = 4096

// An interner gives the same string for the same bytes, so that a name that comes with every message
// is not made anew each time. One goroutine uses it.
type interner map[string]string

func (in interner) intern(name []byte) string {
	if known, ok := in[string(name)]; ok {
		return known
	}
	if len(in) >= internedMax {
		clear(in)
	}
	made := string(name)
	in[made] = made
	return made
}

// next takes the string at the front of strings that each end with a zero byte.
func (in interner) next(text *[]byte) string {
	end := bytes.IndexByte(*text, 0)
	name := in.intern((*text)[:end])
	*text = (*text)[end+1:]
	return name
}
