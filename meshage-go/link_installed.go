//go:build !meshage_tree && !meshage_static

package meshage

// #cgo pkg-config: meshage
import "C"
