package meshage

// #include "shim.h"
import "C"

import (
	"bytes"
	"encoding/gob"
	"unsafe"
)

// An Encoding says how a body is to be read. It is carried with a message and never interpreted in
// transit. Numbers from EncodingApplication on belong to applications.
type Encoding int32

const (
	// EncodingBytes: bytes, meaning whatever the programs agreed on. A []byte in Go.
	EncodingBytes Encoding = C.MESHAGE_ENCODING_BYTES
	// EncodingText: UTF-8 text. A string in Go.
	EncodingText Encoding = C.MESHAGE_ENCODING_TEXT
	// EncodingJSON: JSON in UTF-8. An Encoded in Go.
	EncodingJSON Encoding = C.MESHAGE_ENCODING_JSON
	// EncodingBincode: a Rust value in bincode. An Encoded in Go.
	EncodingBincode Encoding = C.MESHAGE_ENCODING_BINCODE
	// EncodingGob: an interface value in encoding/gob. Any other value in Go.
	EncodingGob Encoding = C.MESHAGE_ENCODING_GOB
	// EncodingApplication is the first number that belongs to applications. An Encoded in Go.
	EncodingApplication Encoding = 1024
)

// Encoded is a body in an encoding that Go has no type of its own for, to be sent or received:
//
//	node.Set(to, meshage.Encoded{Encoding: meshage.EncodingJSON, Data: text})
//
// A gob of a type that this program has not registered arrives as one, too.
type Encoded struct {
	Encoding Encoding
	Data     []byte
}

// parts is a body as the library takes it.
type parts struct {
	data     []byte
	encoding Encoding
}

func (p *parts) pointer() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(p.data)) }

// encode makes a body ready for the library. It copies neither bytes nor text: the library does.
func encode(op string, body interface{}) (parts, error) {
	switch body := body.(type) {
	case []byte:
		return parts{body, EncodingBytes}, nil
	case string:
		return parts{unsafe.Slice(unsafe.StringData(body), len(body)), EncodingText}, nil
	case Encoded:
		return parts{body.Data, body.Encoding}, nil
	case nil:
		// gob has no word for it: no value, in no bytes.
		return parts{nil, EncodingGob}, nil
	default:
		var buffer bytes.Buffer
		if err := gob.NewEncoder(&buffer).Encode(&body); err != nil {
			return parts{}, &OpError{Op: op, Err: err}
		}
		return parts{buffer.Bytes(), EncodingGob}, nil
	}
}

// decode makes a body of what came. The data is the library's, and copied.
func decode(data []byte, encoding Encoding) interface{} {
	switch encoding {
	case EncodingBytes:
		return append(make([]byte, 0, len(data)), data...)
	case EncodingText:
		return string(data)
	case EncodingGob:
		if len(data) == 0 {
			return nil
		}
		var body interface{}
		if err := gob.NewDecoder(bytes.NewReader(data)).Decode(&body); err == nil {
			return body
		}
	}
	return Encoded{encoding, append(make([]byte, 0, len(data)), data...)}
}
