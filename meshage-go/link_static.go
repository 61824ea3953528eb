//go:build !meshage_tree && meshage_static

package meshage

// The archive comes first and defines every symbol. pkg-config lists the shared library of the same
// name too; --as-needed leaves it out because no symbol needs it.

// #cgo LDFLAGS: -l:libmeshage.a -Wl,--as-needed
// #cgo pkg-config: --static meshage
import "C"
