package meshage_test

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"meshage"
)

// fatalVariable is set in the child process that tries to start an invalid node.
const fatalVariable = "MESHAGE_TEST_FATAL"

func TestNewNodeEndsTheProgramIfItCannotStart(t *testing.T) {
	if os.Getenv(fatalVariable) != "" {
		meshage.NewNode("no name", "", 0, net.IPv4bcast, meshage.AnyPort, "")
		os.Exit(0)
	}
	child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	child.Env = append(os.Environ(), fatalVariable+"=1")
	output, err := child.CombinedOutput()
	if err == nil || !strings.Contains(string(output), "meshage: new: ") {
		t.Errorf("%v: %s", err, output)
	}
}
