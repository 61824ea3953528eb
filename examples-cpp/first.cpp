// Says hello to every node that joins, and prints the messages that it receives. Run it two or more
// times on one machine: ./first alice
#include <meshage.hpp>

#include <chrono>
#include <cstdlib>
#include <iostream>
#include <sstream>

// Writes a line at once, because messages and events arrive on two threads.
template <typename... Parts> void print(const Parts &...parts)
{
    std::ostringstream line;
    (line << ... << parts) << '\n';
    std::cout << line.str() << std::flush;
}

int main(int argc, char **argv)
try {
    meshage::config config(argc > 1 ? argv[1] : "cpp");
    config.name_space("first")
        .degree(3)                    // number of links
        .broadcast("127.255.255.255") // this machine only; remove it for the network
        .listen_port(0);              // any free port, so that several nodes can run here
    const meshage::timeout timeout =
        argc > 2 ? std::chrono::seconds(std::atoi(argv[2])) : meshage::forever;

    meshage::node node(config);
    node.on_message([](meshage::message message) {
        print(message.source(), " says \"", message.text(), "\"");
    });
    print(node.name(), " looks for others");
    while (auto event = node.try_next_event(timeout)) {
        if (event->kind == meshage::event_kind::node_joined) {
            const auto sent = node.try_set(event->node, "hello");
            print("hello to ", event->node, ": ", sent.code());
        }
    }
} catch (const meshage::error &error) {
    std::cerr << error.what() << std::endl;
    return 1;
}
