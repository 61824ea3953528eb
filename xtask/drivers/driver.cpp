// A node that executes commands, in C++17 with meshage.hpp. meshage/examples/driver.rs describes the
// commands.
#include <meshage.hpp>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <map>
#include <mutex>
#include <optional>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t label_max = 64;

// Prints a line at once, without mixing it with lines of other threads.
void print_line(const std::string &line)
{
    static std::mutex output;
    const std::lock_guard<std::mutex> lock(output);
    std::cout << line << '\n' << std::flush;
    if (!std::cout)
        std::_Exit(0);
}

std::string word_of(meshage::status code)
{
    using meshage::status;
    switch (code) {
    case status::ok: return "delivered";
    case status::null: return "null";
    case status::invalid: return "invalid";
    case status::utf8: return "invalid";
    case status::timeout: return "timeout";
    case status::again: return "again";
    case status::closed: return "closed";
    case status::canceled: return "canceled";
    case status::partial: return "partial";
    case status::no_route: return "no-route";
    case status::not_found: return "not-found";
    case status::exists: return "exists";
    case status::self: return "self";
    case status::io: return "io";
    case status::addr_in_use: return "addr-in-use";
    case status::refused: return "refused";
    case status::auth: return "auth";
    case status::protocol: return "protocol";
    case status::too_large: return "too-large";
    case status::busy: return "busy";
    case status::state: return "state";
    case status::forked: return "forked";
    case status::unsupported: return "unsupported";
    case status::lost: return "lost";
    case status::panic: return "panic";
    }
    return "unknown";
}

template <typename T> std::string result_of(const meshage::result<T> &result)
{
    return result ? "ok" : "error " + word_of(result.code());
}

// The result of a dial. Errors that not every language tells apart are "failed".
std::string dialed(const meshage::result<void> &result)
{
    using meshage::status;
    switch (result.code()) {
    case status::ok:
    case status::invalid:
    case status::timeout:
    case status::protocol:
    case status::auth:
    case status::closed: return result_of(result);
    default: return "error failed";
    }
}

std::string sent(const meshage::sent &result)
{
    if (result->empty() && !result)
        return "error " + word_of(result.code());
    std::string line = "sent";
    for (const auto outcome : *result)
        line += " " + std::string(outcome.recipient) + "=" + word_of(outcome.result);
    return line;
}

template <typename Names> std::string joined(const Names &names)
{
    std::string line;
    for (std::string_view name : names)
        line += (line.empty() ? "" : ",") + std::string(name);
    return line.empty() ? "-" : line;
}

constexpr std::array<std::uint32_t, 256> crc_table()
{
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
        std::uint32_t value = i;
        for (int bit = 0; bit < 8; ++bit)
            value = value & 1 ? 0xedb88320u ^ (value >> 1) : value >> 1;
        table[i] = value;
    }
    return table;
}

std::uint32_t crc32(const unsigned char *bytes, std::size_t size)
{
    static constexpr auto table = crc_table();
    std::uint32_t crc = 0xffffffffu;
    for (std::size_t i = 0; i < size; ++i)
        crc = table[(crc ^ bytes[i]) & 0xff] ^ (crc >> 8);
    return ~crc;
}

std::string got(const meshage::message_view &message)
{
    const auto body = message.body();
    const auto *bytes = reinterpret_cast<const unsigned char *>(body.data());
    std::string label(reinterpret_cast<const char *>(bytes), std::min(body.size(), label_max));
    label.resize(std::min(label.find('\n'), label.size()));
    std::array<char, 32> numbers{};
    std::snprintf(numbers.data(), numbers.size(), "%zu %08lx", body.size(),
                  static_cast<unsigned long>(crc32(bytes, body.size())));
    return "got " + std::string(message.source()) + " " + joined(message.recipients()) + " " +
        joined(message.route()) + " " + numbers.data() + " " + (label.empty() ? "-" : label);
}

// The body with a label and a length.
std::string body_of(const std::string &label, const std::string &length)
{
    const std::string line = label + "\n";
    const std::size_t size = std::stoul(length);
    std::string body;
    body.reserve(size);
    while (body.size() < size)
        body.append(line, 0, size - body.size());
    return body;
}

meshage::timeout time_of(const std::string &word)
{
    if (word == "default")
        return meshage::usual;
    return word == "forever" ? meshage::forever : meshage::timeout::raw(std::stoi(word));
}

// The names in a word, which are separated by commas.
std::vector<std::string> names_in(const std::string &word)
{
    std::vector<std::string> names;
    std::istringstream list(word);
    for (std::string name; word != "-" && std::getline(list, name, ',');)
        names.push_back(name);
    return names;
}

class driver {
public:
    explicit driver(const meshage::config &config) : node_(config) {}

    // Executes the lines of the input, then closes the node.
    void run()
    {
        print_line("ready " + std::to_string(node_.port()));
        for (std::string line; std::getline(std::cin, line);) {
            std::istringstream input(line);
            std::vector<std::string> words;
            for (std::string word; input >> word;)
                words.push_back(word);
            if (words[0] == "quit")
                break;
            words.resize(8);
            try {
                execute(words[0], words[1], words);
            } catch (const meshage::error &error) {
                print_line(words[0] + " error " + word_of(error.code()));
            }
        }
        node_.close();
        for (std::thread &call : calls_)
            call.join();
    }

private:
    void execute(const std::string &token, const std::string &command,
                 const std::vector<std::string> &words)
    {
        if (command == "set" && words[2] == "-") {
            const std::vector<std::string> none;
            print_line(token + " " + sent(node_.try_set(none, body_of(words[3], words[4]))));
        } else if (command == "set") {
            meshage::message message(body_of(words[3], words[4]));
            for (const std::string &name : names_in(words[2]))
                message.to(name);
            send(token, message, words[5]);
        } else if (command == "broadcast") {
            send(token, meshage::message(body_of(words[2], words[3])), words[4]);
        } else if (command == "cancel") {
            if (const auto found = sends_.find(words[2]); found != sends_.end())
                found->second.cancel();
            print_line(token + " ok");
        } else if (command == "hangup") {
            print_line(token + " " + result_of(node_.try_hangup(words[2])));
        } else if (command == "listen") {
            node_.on_message([](meshage::message message) { print_line(got(message)); });
            print_line(token + " ok");
        } else if (command == "peers") {
            print_line(token + " peers " + joined(node_.peers()));
        } else if (command == "mesh") {
            std::string line = token + " mesh";
            for (const auto &entry : node_.mesh()) {
                const std::string linked = joined(entry.neighbors);
                line += " " + std::string(entry.name) + ":" + (linked == "-" ? "" : linked);
            }
            print_line(line);
        } else if (command == "close") {
            node_.close();
            print_line(token + " ok");
        } else {
            calls_.emplace_back([this, words] { print_line(words[0] + " " + call(words)); });
        }
    }

    // Starts a send. Only those whose token starts with "x" can be cancelled, so that few are kept.
    void send(const std::string &token, const meshage::message &message, const std::string &time)
    {
        auto pending = node_.send_async(
            message, [token](meshage::sent result) { print_line(token + " " + sent(result)); },
            time_of(time));
        if (token[0] == 'x')
            sends_.emplace(token, std::move(pending));
    }

    // Runs a command that waits.
    std::string call(const std::vector<std::string> &words)
    {
        if (words[1] == "dial")
            return dialed(node_.try_dial(words[2], time_of(words[3])));
        if (words[1] == "wait")
            return result_of(node_.try_wait(names_in(words[2]), time_of(words[3])));
        if (words[1] == "recv") {
            const auto message = node_.try_recv(time_of(words[2]));
            return message ? got(*message) : result_of(message);
        }
        if (words[1] == "event") {
            const auto event = node_.try_next_event(time_of(words[2]));
            return event ? event_words(*event) : result_of(event);
        }
        return "error unknown-command";
    }

    static std::string event_words(const meshage::event &event)
    {
        static const std::array<const char *, 11> kinds = {"unknown", "link-up", "link-down",
            "node-joined", "node-left", "topology", "name-conflict", "overflow",
            "discovery-failed", "key-mismatch", "revoked"};
        std::string line = std::string("event ") + kinds[static_cast<std::size_t>(event.kind)];
        if (event.kind <= meshage::event_kind::node_left)
            line += " " + event.node;
        if (event.departure != meshage::departure::none)
            line += event.departure == meshage::departure::left ? " left" : " failed";
        return line;
    }

    meshage::node node_;
    std::map<std::string, meshage::pending> sends_;
    std::vector<std::thread> calls_;
};

// Sets an option. Returns false if it is unknown.
bool set_option(meshage::config &config, const std::string &name, const std::string &value)
{
    const auto number = [&value] { return std::stoul(value); };
    if (name == "namespace")
        config.name_space(value);
    else if (name == "degree")
        config.degree(static_cast<std::uint32_t>(number()));
    else if (name == "broadcast")
        config.broadcast(value);
    else if (name == "bind")
        config.bind(value);
    else if (name == "port")
        config.port(static_cast<std::uint16_t>(number()));
    else if (name == "listen")
        config.listen_port(static_cast<std::uint16_t>(number()));
    else if (name == "seed")
        config.seed_address(value);
    else if (name == "max_message")
        config.max_message(number());
    else if (name == "receive_buffer")
        config.receive_buffer(number());
    else if (name == "timeout")
        config.timeout(std::chrono::milliseconds(number()));
    else if (name == "key_file")
        config.key_file(value);
    else
        return false;
    return true;
}

} // namespace

int main(int argc, char **argv)
{
    if (argc < 2) {
        std::cerr << "usage: driver NAME [OPTION=VALUE ...]" << std::endl;
        return 2;
    }
    std::optional<driver> driver;
    try {
        meshage::config config(argv[1]);
        for (int i = 2; i < argc; ++i) {
            const std::string option = argv[i];
            const std::size_t equals = option.find('=');
            if (equals == option.npos ||
                !set_option(config, option.substr(0, equals), option.substr(equals + 1)))
                return 2;
        }
        driver.emplace(config);
    } catch (const meshage::error &error) {
        print_line("failed " + word_of(error.code()));
        return 0;
    }
    driver->run();
}
