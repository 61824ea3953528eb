package meshage_test

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"meshage"
)

// A dial that is refused because of the keys ends long before this.
const fast = 5 * time.Second

func newKey(t testing.TB) (key []byte, id string) {
	t.Helper()
	key, err := meshage.GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	id, err = meshage.KeyID(key)
	if err != nil || len(key) != 32 || len(id) != 16 {
		t.Fatal(key, id, err)
	}
	return key, id
}

func closed(t testing.TB, namespace, name string, keys ...[]byte) *meshage.Node {
	t.Helper()
	return start(t, meshage.Config{Name: name, Namespace: namespace, Keys: keys})
}

// refused dials, which must fail soon with an error that contains the ids.
func refused(t testing.TB, from, to *meshage.Node, ids ...string) error {
	t.Helper()
	begin := time.Now()
	err := from.DialContext(testContext(t), address(to))
	if !errors.Is(err, meshage.ErrAuth) || time.Since(begin) > fast {
		t.Fatalf("%v after %v", err, time.Since(begin))
	}
	for _, id := range ids {
		if !strings.Contains(err.Error(), id) {
			t.Fatalf("%v lacks %s", err, id)
		}
	}
	return err
}

func sends(t testing.TB, from, to *meshage.Node) {
	t.Helper()
	if _, err := from.SetContext(testContext(t), []string{to.Name()}, []byte("hello")); err != nil {
		t.Fatal(err)
	}
	recv(t, to)
}

func TestHoldersOfAKeyExchangeMessages(t *testing.T) {
	key, id := newKey(t)
	namespace := newNamespace()
	a := closed(t, namespace, "a", key)
	b := closed(t, namespace, "b", []byte(hex.EncodeToString(key)))
	linkInLine(t, a, b)
	sends(t, a, b)
	if !slices.Equal(a.Keys().IDs(), []string{id}) || b.Keys().Primary() != id {
		t.Fatal(a.Keys().IDs(), b.Keys().IDs())
	}
	if len(a.PublicKey()) != 32 || slices.Equal(a.PublicKey(), b.PublicKey()) {
		t.Fatal(a.PublicKey())
	}
}

func TestOtherKeysAreRefusedAtOnce(t *testing.T) {
	right, rightID := newKey(t)
	wrong, wrongID := newKey(t)
	namespace := newNamespace()
	a, b := closed(t, namespace, "a", right), closed(t, namespace, "b", wrong)
	open := closed(t, namespace, "open")
	events := b.Events(testContext(t))
	err := refused(t, b, a, rightID, wrongID)
	if strings.Contains(err.Error(), hex.EncodeToString(right)) {
		t.Fatal(err)
	}
	refused(t, open, a, rightID)
	refused(t, a, open, "does not encrypt")
	for event := range events {
		if event.Kind != meshage.EventKeyMismatch {
			continue
		}
		if event.Address != address(a) || !slices.Equal(event.KeyIDs, []string{rightID}) {
			t.Fatalf("%+v", event)
		}
		return
	}
	t.Fatal("no event")
}

func TestKeysChangeOnARunningMesh(t *testing.T) {
	old, oldID := newKey(t)
	next, nextID := newKey(t)
	namespace := newNamespace()
	a, b := closed(t, namespace, "a", old), closed(t, namespace, "b", old)
	linkInLine(t, a, b)
	if err := a.Keys().Remove(oldID); !errors.Is(err, meshage.ErrState) {
		t.Fatal(err)
	}
	if err := a.Keys().Use(nextID); !errors.Is(err, meshage.ErrNotFound) {
		t.Fatal(err)
	}
	nodes := []*meshage.Node{a, b}
	for _, node := range nodes {
		if id, err := node.Keys().Add(next); err != nil || id != nextID {
			t.Fatal(id, err)
		}
	}
	sends(t, a, b)
	for _, node := range nodes {
		if err := node.Keys().Use(nextID); err != nil {
			t.Fatal(err)
		}
	}
	sends(t, b, a)
	for _, node := range nodes {
		if err := node.Keys().Remove(oldID); err != nil {
			t.Fatal(err)
		}
	}
	sends(t, a, b)
	if a.Keys().Contains(oldID) || !a.Keys().Contains(nextID) {
		t.Fatal(a.Keys().IDs())
	}
	late := closed(t, namespace, "late", old)
	refused(t, late, a, nextID, oldID)
	if _, err := late.Keys().Add(next); err != nil {
		t.Fatal(err)
	}
	linkInLine(t, late, a)
	sends(t, late, b)
	a.Close()
	if _, err := a.Keys().Add(old); !errors.Is(err, meshage.ErrClosed) || a.Keys().IDs() != nil {
		t.Fatal(err)
	}
}

func TestAKeyFileBelongsToItsOwner(t *testing.T) {
	key, id := newKey(t)
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte(hex.EncodeToString(key)+" # remark\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := meshage.New(meshage.Config{Name: "a", Port: meshage.AnyPort, KeyFile: path})
	if !errors.Is(err, meshage.ErrInvalid) || !strings.Contains(err.Error(), path) {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	node := start(t, meshage.Config{Name: "a", Namespace: newNamespace(), KeyFile: path})
	if err := node.Keys().Reload(); err != nil || node.Keys().Primary() != id {
		t.Fatal(err, node.Keys().IDs())
	}
}

func TestBadKeysAreErrors(t *testing.T) {
	key, _ := newKey(t)
	for what, config := range map[string]meshage.Config{
		"a short key":            {Keys: [][]byte{key[:31]}},
		"an empty key":           {Keys: [][]byte{nil}},
		"a short root":           {Keys: [][]byte{key}, Root: key[:1]},
		"a name with spaces":     {Keys: [][]byte{key}, Allow: map[string][]byte{"no spaces": key}},
		"a root and no identity": {Keys: [][]byte{key}, Root: key},
		"no root to sign for":    {Keys: [][]byte{key}, Signed: true},
		"no such identity file":  {Keys: [][]byte{key}, IdentityFile: "/nowhere"},
		"no such ticket file":    {Keys: [][]byte{key}, TicketFile: "/nowhere"},
	} {
		config.Name, config.Port = "a", meshage.AnyPort
		if _, err := meshage.New(config); !errors.Is(err, meshage.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := meshage.KeyID([]byte("short")); !errors.Is(err, meshage.ErrInvalid) {
		t.Error(err)
	}
	open := closed(t, newNamespace(), "open")
	if _, err := open.Keys().Add(key); !errors.Is(err, meshage.ErrState) {
		t.Error(err)
	}
	if open.PublicKey() != nil || open.Keys().Primary() != "" {
		t.Error("an open node has keys")
	}
	node := closed(t, newNamespace(), "a", key)
	if err := node.Revoke([]byte("nonsense")); !errors.Is(err, meshage.ErrState) {
		t.Error(err)
	}
	if err := node.Keys().Reload(); !errors.Is(err, meshage.ErrState) {
		t.Error(err)
	}
	if err := node.Keys().Use("no id"); !errors.Is(err, meshage.ErrInvalid) {
		t.Error(err)
	}
}
