// Closed meshes in C++.
#include "check.hpp"

#include <fstream>
#include <sys/stat.h>
#include <unistd.h>

using meshage::event_kind;
using meshage::status;

static_assert(std::is_base_of_v<meshage::error, meshage::auth_error>);

static meshage::node closed(const char *name, meshage::bytes_view key)
{
    return meshage::node(alone(name).key(key));
}

static std::string hex(const meshage::key_bytes &key)
{
    std::string text;
    for (const std::uint8_t byte : key) {
        text += "0123456789abcdef"[byte >> 4];
        text += "0123456789abcdef"[byte & 15];
    }
    return text;
}

static void exchange(const meshage::node &a, const meshage::node &b)
{
    a.set(std::string(b.name()), "hello", soon);
    CHECK(b.recv(soon).text() == "hello");
}

static void keys_have_several_forms()
{
    const meshage::key_bytes key = meshage::generate_key();
    CHECK(key != meshage::generate_key());
    const std::string id = meshage::key_id(key), text = hex(key);
    CHECK(id.size() == 16 && meshage::key_id(text) == id && meshage::key_id(text.c_str()) == id);
    CHECK(meshage::key_id({key.data(), key.size()}) == id);
    CHECK(meshage::key_id(std::vector<std::uint8_t>(key.begin(), key.end())) == id);
#if __cplusplus >= 202002L
    CHECK(meshage::key_id(std::span<const std::uint8_t>(key)) == id);
#endif
    CHECK(throws(status::invalid, [] { meshage::key_id("short"); }));
    CHECK(throws(status::invalid, [] { meshage::key_id(meshage::bytes_view()); }));
    CHECK(throws(status::invalid, [] { meshage::config("a").key("short"); }));
    CHECK(throws(status::invalid, [] { meshage::config("a").key_file("/nowhere"); }));
    CHECK(throws(status::invalid, [&] { meshage::config("a").allow("no spaces", key); }));
    CHECK(throws(status::invalid, [&] {
        meshage::node(meshage::config("a")
                          .key(key)
                          .root(key)
                          .allow("b", key)
                          .signed_announcements()
                          .identity_file("/nowhere")
                          .ticket_file("/nowhere"));
    }));
}

static void a_wrong_key_throws_what_was_heard()
{
    const meshage::key_bytes right = meshage::generate_key(), wrong = meshage::generate_key();
    const meshage::node a = closed("a", right), b = closed("b", wrong);
    try {
        b.dial(address_of(a), soon);
        CHECK(!"it throws");
    } catch (const meshage::auth_error &error) {
        const std::string what = error.what();
        CHECK(error.code() == status::auth);
        CHECK(what.find(meshage::key_id(right)) != what.npos);
        CHECK(what.find(meshage::key_id(wrong)) != what.npos);
        CHECK(what.find(hex(right)) == what.npos && what.find(hex(wrong)) == what.npos);
    }
    const meshage::node open(alone("open"));
    CHECK(open.try_dial(address_of(a), soon).code() == status::auth);
    CHECK(a.try_dial(address_of(open), soon).code() == status::auth);
    for (;;) {
        const meshage::event event = b.next_event(soon);
        if (event.kind != event_kind::key_mismatch)
            continue;
        CHECK(event.address == address_of(a));
        CHECK(event.key_ids == std::vector<std::string>{meshage::key_id(right)});
        break;
    }
}

static void keys_change_on_a_running_mesh()
{
    const meshage::key_bytes old_key = meshage::generate_key(), new_key = meshage::generate_key();
    const std::string old_id = meshage::key_id(old_key);
    const meshage::node a = closed("a", old_key), b = closed("b", hex(old_key));
    join(a, b);
    exchange(a, b);
    CHECK(throws(status::state, [&] { a.keys().remove(old_id); }));
    const std::string new_id = a.keys().add(new_key);
    CHECK(b.keys().add(new_key) == new_id && a.keys().size() == 2);
    CHECK(a.keys().contains(new_id) && !a.keys().contains("0000000000000000"));
    for (const meshage::node *node : {&a, &b})
        node->keys().use(new_id);
    CHECK(a.keys().primary() == new_id);
    for (const meshage::node *node : {&a, &b})
        node->keys().remove(old_id);
    exchange(b, a);
    CHECK(a.keys().ids().strings() == std::vector<std::string>{new_id});
    CHECK(throws(status::not_found, [&] { a.keys().use(old_id); }));
    CHECK(throws(status::state, [&] { a.keys().reload(); }));
    CHECK(a.public_key() != b.public_key());
    CHECK(throws(status::state, [&] { a.revoke("nonsense"); }));
    const meshage::node open(alone("open"));
    CHECK(open.keys().primary().empty() && open.keys().ids().empty());
    CHECK(throws(status::state, [&] { open.public_key(); }));
}

// The file is beside the program, which is at `program`.
static void a_key_file_is_private(const std::string &program)
{
    const std::string path = program + "-" + std::to_string(getpid()) + ".key";
    const meshage::key_bytes key = meshage::generate_key();
    std::ofstream(path) << hex(key) << "\n";
    CHECK(chmod(path.c_str(), 0644) == 0);
    CHECK(throws(status::invalid, [&] { meshage::config("a").key_file(path); }));
    CHECK(chmod(path.c_str(), 0600) == 0);
    const meshage::node a(alone("a").key_file(path));
    a.keys().reload();
    CHECK(a.keys().primary() == meshage::key_id(key));
    CHECK(unlink(path.c_str()) == 0);
}

int main(int argc, char **argv)
{
    CHECK(argc > 0);
    keys_have_several_forms();
    a_wrong_key_throws_what_was_heard();
    keys_change_on_a_running_mesh();
    a_key_file_is_private(argv[0]);
    return 0;
}
