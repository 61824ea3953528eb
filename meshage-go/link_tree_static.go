//go:build meshage_tree && meshage_static

package meshage

// #cgo CFLAGS: -I${SRCDIR}/../include
// #cgo LDFLAGS: -L${SRCDIR}/../target/release -l:libmeshage.a
// #cgo linux LDFLAGS: -lpthread -lm -ldl -lrt -lgcc_s
import "C"
