package meshage

// #include "shim.h"
import "C"

import (
	"bytes"
	"encoding/gob"
	"unsafe"
)

// An Encoding is the encoding of a body. It is sent with a message and never interpreted in
// transit. Numbers from EncodingApplication upwards are for applications.
type Encoding int32

const (
	// EncodingBytes: bytes whose meaning the programs define. A []byte in Go.
	EncodingBytes Encoding = C.MESHAGE_ENCODING_BYTES
	// EncodingText: UTF-8 text. A string in Go.
	EncodingText Encoding = C.MESHAGE_ENCODING_TEXT
	// EncodingJSON: JSON in UTF-8. An Encoded in Go.
	EncodingJSON Encoding = C.MESHAGE_ENCODING_JSON
	// EncodingBincode: a Rust value in bincode. An Encoded in Go.
	EncodingBincode Encoding = C.MESHAGE_ENCODING_BINCODE
	// EncodingGob: an interface value in encoding/gob. Any other value in Go.
	EncodingGob Encoding = C.MESHAGE_ENCODING_GOB
	// EncodingApplication is the first number for applications. An Encoded in Go.
	EncodingApplication Encoding = 1024
)

// Encoded is a body in an encoding without a corresponding Go type, to send or as received:
//
//	node.Set(to, meshage.Encoded{Encoding: meshage.EncodingJSON, Data: text})
//
// A gob of a type that this program has not registered is also received as an Encoded.
type Encoded struct {
	Encoding Encoding
	Data     []byte
}

// encodedBody is a body in the form that the library sends.
type encodedBody struct {
	data     []byte
	encoding Encoding
}

func (b *encodedBody) pointer() unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b.data)) }

// encode converts a body for the library. It does not copy bytes or text: the library does.
func encode(op string, body interface{}) (encodedBody, error) {
	switch body := body.(type) {
	case []byte:
		return encodedBody{body, EncodingBytes}, nil
	case string:
		return encodedBody{unsafe.Slice(unsafe.StringData(body), len(body)), EncodingText}, nil
	case Encoded:
		return encodedBody{body.Data, body.Encoding}, nil
	case nil:
		// gob cannot encode nil: an empty gob body stands for it.
		return encodedBody{nil, EncodingGob}, nil
	default:
		var buffer bytes.Buffer
		if err := gob.NewEncoder(&buffer).Encode(&body); err != nil {
			return encodedBody{}, &OpError{Op: op, Err: err}
		}
		return encodedBody{buffer.Bytes(), EncodingGob}, nil
	}
}

// decode converts a received body. The library owns the data, so it is copied.
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
