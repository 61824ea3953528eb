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

// cString copies a string to C memory. The caller frees it.
func cString(op, what, value string) (*C.char, error) {
	if strings.IndexByte(value, 0) >= 0 {
		return nil, &OpError{Op: op, Err: ErrInvalid, Detail: "the " + what + " contains a NUL byte"}
	}
	return C.CString(value), nil
}

// splitText converts a text of the shim to strings and frees it. Each string in it ends with a NUL
// byte.
func splitText(t C.mg_text) []string {
	defer C.free(unsafe.Pointer(t.data))
	if t.len == 0 {
		return nil
	}
	all := C.GoStringN(t.data, C.int(t.len-1))
	return strings.Split(all, "\x00")
}

// A packer stores names one after the other, in the form that the shim expects.
type packer struct {
	names []byte
}

var packers = sync.Pool{New: func() any { return &packer{names: make([]byte, 0, 256)} }}

// pack packs names. The caller puts the packer back when the call has returned.
func pack(op string, names []string) (*packer, error) {
	p := packers.Get().(*packer)
	p.names = p.names[:0]
	for _, name := range names {
		if strings.IndexByte(name, 0) >= 0 {
			p.put()
			return nil, &OpError{Op: op, Err: ErrInvalid, Detail: "a name contains a NUL byte"}
		}
		p.names = append(append(p.names, name...), 0)
	}
	return p, nil
}

func (p *packer) pointer() *C.char {
	return (*C.char)(unsafe.Pointer(unsafe.SliceData(p.names)))
}

func (p *packer) put() { packers.Put(p) }

// internedMax is the most names that are kept: more than most meshes have nodes.
const internedMax = 4096

// An interner returns the same string for the same bytes, so that a name that is in every message
// is not allocated each time. Only one goroutine uses it.
type interner map[string]string

func (in interner) intern(name []byte) string {
	if known, ok := in[string(name)]; ok {
		return known
	}
	if len(in) >= internedMax {
		clear(in)
	}
	added := string(name)
	in[added] = added
	return added
}

// next removes and returns the first string of a text. Each string ends with a NUL byte.
func (in interner) next(text *[]byte) string {
	end := bytes.IndexByte(*text, 0)
	name := in.intern((*text)[:end])
	*text = (*text)[end+1:]
	return name
}
