// A closed mesh: two nodes have a key and exchange a message; a third one has another key and is
// turned away. In real programs every node has the same key file: config.key_file("mesh.key").
#include <meshage.hpp>

#include <iostream>

static meshage::node start(const char *name, const meshage::key_bytes &key)
{
    return meshage::node(meshage::config(name).bind("127.0.0.1").port(0).key(key));
}

int main()
try {
    const meshage::key_bytes key = meshage::generate_key();
    const meshage::node alice = start("alice", key), bob = start("bob", key);
    const meshage::node mallory = start("mallory", meshage::generate_key());
    const std::string address = "127.0.0.1:" + std::to_string(alice.port());

    bob.dial(address);
    bob.set("alice", "hello");
    const meshage::message message = alice.recv();
    std::cout << message.source() << ": " << message.text() << std::endl;
    try {
        mallory.dial(address);
    } catch (const meshage::auth_error &error) {
        std::cout << "mallory: " << error.what() << std::endl;
    }
} catch (const meshage::error &error) {
    std::cerr << error.what() << std::endl;
    return 1;
}
