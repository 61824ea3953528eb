// A node in C++11: handles that are freed automatically, errors as exceptions, a receiving thread.
//
//   ./cpp_node [NAME [NAMESPACE [PORT [SECONDS]]]]
#include "example.h"

#include <exception>
#include <iostream>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>

namespace {

// Frees a handle with the function for its type.
template <typename T, void (*Free)(T *)> struct Freed {
    void operator()(T *handle) const { Free(handle); }
};

using Config = std::unique_ptr<meshage_config, Freed<meshage_config, meshage_config_free>>;
using Node = std::unique_ptr<meshage_node, Freed<meshage_node, meshage_node_free>>;
using Message = std::unique_ptr<meshage_message, Freed<meshage_message, meshage_message_free>>;
using Event = std::unique_ptr<meshage_event, Freed<meshage_event, meshage_event_free>>;
using Report = std::unique_ptr<meshage_report, Freed<meshage_report, meshage_report_free>>;

// Throws the last error if a call failed.
void check(meshage_status status)
{
    if (status != MESHAGE_OK)
        throw std::runtime_error(meshage_last_error());
}

Node start(const arguments &parsed)
{
    Config config(meshage_config_create(parsed.name));
    check(meshage_config_namespace(config.get(), parsed.ns));
    check(meshage_config_port(config.get(), parsed.port));
    check(meshage_config_degree(config.get(), 3));
    check(meshage_config_broadcast(config.get(), "127.255.255.255"));
    check(meshage_config_listen_port(config.get(), 0));
    meshage_node *node = nullptr;
    check(meshage_node_create(config.get(), &node));
    return Node(node);
}

std::mutex output;

void print_line(const std::string &line)
{
    std::lock_guard<std::mutex> lock(output);
    std::cout << line << std::endl;
}

// Prints the messages that arrive, until the node is closed.
void receive(meshage_node *node)
{
    meshage_message *raw = nullptr;
    while (meshage_recv(node, MESHAGE_INFINITE, &raw) == MESHAGE_OK) {
        Message message(raw);
        std::size_t len = 0;
        const void *body = meshage_message_body(message.get(), &len);
        print_line(std::string(meshage_message_source(message.get())) + " says \"" +
            std::string(static_cast<const char *>(body), len) + "\"");
    }
}

void greet(meshage_node *node, const char *other)
{
    const std::string hello = std::string("hello from ") + meshage_node_name(node);
    meshage_report *raw = nullptr;
    const meshage_status status =
        meshage_set(node, &other, 1, hello.data(), hello.size(), MESHAGE_DEFAULT, &raw);
    Report report(raw);
    print_line(std::string("hello to ") + other + ": " + meshage_strerror(status));
}

// Greets every node that joins, until `end`.
void greet_all(meshage_node *node, std::time_t end)
{
    meshage_event *raw = nullptr;
    while (remaining(end) != 0 && meshage_next_event(node, remaining(end), &raw) == MESHAGE_OK) {
        Event event(raw);
        if (meshage_event_kind_of(event.get()) == MESHAGE_EVENT_NODE_JOINED)
            greet(node, meshage_event_node(event.get()));
    }
}

} // namespace

int main(int argc, char **argv)
{
    try {
        const arguments parsed = parse(argc, argv, 1, "cpp");
        Node node = start(parsed);
        std::thread receiver(receive, node.get());
        greet_all(node.get(), end_of(&parsed));
        meshage_node_close(node.get()); // Ends the receiving thread.
        receiver.join();
        return 0;
    } catch (const std::exception &error) {
        std::cerr << "cpp_node: " << error.what() << std::endl;
        return 1;
    }
}
