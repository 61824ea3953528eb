"""A closed mesh: two nodes have a key and exchange a message; a third one has another key and is
turned away. In real programs every node has the same key file: Node(..., key_file="mesh.key")."""

import meshage


def start(name: str, key: bytes) -> meshage.Node:
    return meshage.Node(name, bind="127.0.0.1", port=0, keys=[key])


key = meshage.generate_key()
with (
    start("alice", key) as alice,
    start("bob", key) as bob,
    start("mallory", meshage.generate_key()) as mallory,
):
    address = f"127.0.0.1:{alice.port}"
    bob.dial(address)
    bob.set("alice", "hello")
    message = alice.recv()
    print(f"{message.source}: {message.text()}")
    try:
        mallory.dial(address)
    except meshage.AuthError as error:
        print(f"mallory: {error}")
