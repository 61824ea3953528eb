// The parts of the wrapper that need no mesh: times, bytes, errors, configurations, messages.
#include "check.hpp"

#include <array>
#include <list>

using namespace std::chrono_literals;
using meshage::status;

static_assert(!std::is_copy_constructible_v<meshage::node>);
static_assert(!std::is_copy_constructible_v<meshage::message>);
static_assert(!std::is_copy_constructible_v<meshage::report>);
static_assert(std::is_nothrow_move_constructible_v<meshage::node>);
static_assert(std::is_nothrow_move_constructible_v<meshage::message>);
static_assert(std::is_copy_constructible_v<meshage::send_error>);
static_assert(!std::is_constructible_v<meshage::bytes_view, std::vector<int>>);

static int ms_of(meshage::timeout time)
{
    return time.ms();
}

static void times()
{
    CHECK(ms_of(2s) == 2000);
    CHECK(ms_of(1us) == 1);
    CHECK(ms_of(1500us) == 2);
    CHECK(ms_of(0s) == 0);
    CHECK(ms_of(std::chrono::hours(24 * 365)) == INT32_MAX);
    CHECK(ms_of(std::chrono::duration<double>(0.25)) == 250);
    CHECK(ms_of(-1ms) < MESHAGE_DEFAULT);
    CHECK(ms_of(meshage::forever) == MESHAGE_INFINITE);
    CHECK(ms_of(meshage::usual) == MESHAGE_DEFAULT);
    CHECK(ms_of(meshage::at_once) == 0);
}

static std::size_t bytes_in(meshage::bytes_view bytes)
{
    return bytes.size();
}

static void bytes()
{
    CHECK(bytes_in("hello") == 5);
    CHECK(bytes_in(std::string("a\0b", 3)) == 3);
    CHECK(bytes_in(std::string_view("ab")) == 2);
    CHECK(bytes_in(std::vector<std::uint8_t>(7)) == 7);
    CHECK(bytes_in(std::array<std::byte, 4>()) == 4);
    CHECK(bytes_in(meshage::bytes_view()) == 0);
    CHECK(bytes_in({"four", 4}) == 4);
    const meshage::bytes_view view("ab");
    CHECK(view[1] == std::byte('b') && view.text() == "ab" && view.end() - view.begin() == 2);
    CHECK(view == meshage::bytes_view("ab") && view != meshage::bytes_view("ba"));
#if __cplusplus >= 202002L
    const std::array<std::byte, 3> array{};
    CHECK(bytes_in(std::span<const std::byte>(array)) == 3);
    const std::span<const std::byte> span = view;
    CHECK(span.size() == 2);
#endif
}

static void errors()
{
    CHECK(meshage::version() == MESHAGE_VERSION_STRING);
    CHECK(meshage::version_number() == MESHAGE_VERSION_NUMBER);
    CHECK(MESHAGE_ABI() == MESHAGE_VERSION_NUMBER);
    CHECK(meshage::describe(status::no_route) == meshage_strerror(MESHAGE_ERR_NO_ROUTE));
    CHECK(throws(status::invalid, [] { meshage::config(std::string_view("a\0b", 3)); }));
    CHECK(throws(status::utf8, [] { meshage::config("\xff"); }));
    CHECK(throws(status::invalid, [] { meshage::node(meshage::config("no spaces")); }));
    // `usual` stands for the setting, so it is no value of it.
    CHECK(throws(status::invalid, [] { meshage::config("a").timeout(meshage::usual); }));
    CHECK(throws(status::invalid, [] { meshage::config("a").msa_timeout(meshage::usual); }));
    try {
        meshage::config("a").broadcast("nonsense");
        CHECK(!"it throws");
    } catch (const meshage::error &error) {
        // The text of the last error, not only that of the status.
        CHECK(std::string(error.what()).find("nonsense") != std::string::npos);
        CHECK(meshage::last_error() == error.what());
    }
}

static void configurations()
{
    meshage::config config("all");
    config.name_space("values")
        .degree(2)
        .broadcast("127.255.255.255")
        .interface_name("lo")
        .bind("127.0.0.1")
        .port(0)
        .listen_port(0)
        .version("1")
        .timeout(3s)
        .msa_timeout(1min)
        .receive_buffer(10)
        .max_message(1000)
        .worker_threads(1)
        .seed_address("127.0.0.1:1");
    CHECK(throws(status::invalid, [&] { config.degree(1000); }));
    CHECK(throws(status::invalid, [&] { config.timeout(-1s); }));
    const meshage::node node(config);
    CHECK(node.name() == "all" && node.degree() == 2 && node.port() != 0);
    CHECK(node.msa_timeout() == 1min);
    CHECK(meshage::default_timeout == 10s && meshage::default_port == 9000);
}

static void messages()
{
    meshage::message created("text");
    created.to("b").to("c").as(meshage::encoding::text);
    CHECK(created.text() == "text" && created.source().empty() && created.id() == 0);
    CHECK(created.encoding() == meshage::encoding::text);
    CHECK((created.recipients() == std::vector<std::string_view>{"b", "c"}));
    CHECK(created.as(meshage::encoding(1024)).encoding() == meshage::encoding(1024));
    const meshage::message copy = created.clone();
    CHECK(copy.body().data() == created.body().data());
    meshage::message moved = std::move(created);
    moved = copy.clone();
    CHECK(moved.text() == "text" && moved.instance() == 0 && moved.route().empty());
    CHECK(throws(status::invalid, [&] { moved.to("no spaces"); }));
    meshage_message_free(moved.release());
}

static void lists()
{
    const std::list<std::string> container{"a", "b"};
    CHECK(meshage::name_list(container).size() == 2);
    CHECK(meshage::name_list({"a", "b", "c"}).size() == 3);
    CHECK(meshage::name_list("alone").size() == 1);
    CHECK(meshage::name_list(std::string("alone")).size() == 1);
    const std::vector<const char *> pointers = meshage::name_list({"x", "y"}).pointers();
    CHECK(pointers.size() == 2);
}

int main()
{
    times();
    bytes();
    errors();
    configurations();
    messages();
    lists();
    return 0;
}
