package meshage_test

import (
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"meshage"
)

// asked is set for the process that is to start a node that cannot be.
const asked = "MESHAGE_TEST_FATAL"

func TestNewNodeEndsTheProgramWhereItCannotStart(t *testing.T) {
	if os.Getenv(asked) != "" {
		meshage.NewNode("no name", "", 0, net.IPv4bcast, meshage.AnyPort, "")
		os.Exit(0)
	}
	again := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	again.Env = append(os.Environ(), asked+"=1")
	said, err := again.CombinedOutput()
	if err == nil || !strings.Contains(string(said), "meshage: new: ") {
		t.Errorf("%v: %s", err, said)
	}
}
