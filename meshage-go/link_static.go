//go:build !meshage_tree && meshage_static

package meshage

// The archive comes first and has every symbol; the shared library of the same name, which pkg-config
// names too, is then needed by nothing and left out.

// #cgo LDFLAGS: -l:libmeshage.a -Wl,--as-needed
// #cgo pkg-config: --static meshage
import "C"
