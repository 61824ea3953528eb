// Callables are moved into the library and destroyed after their last use; exceptions are caught.
#include "check.hpp"

#include <atomic>

using meshage::status;

// Counts its live instances.
struct counted {
    explicit counted(std::atomic<int> &alive) : alive_(&alive) { ++*alive_; }
    counted(const counted &) = delete;
    counted &operator=(const counted &) = delete;
    ~counted() { --*alive_; }

    std::atomic<int> *alive_;
};

static count caught;

static void on_exception(std::exception_ptr thrown) noexcept
{
    try {
        std::rethrow_exception(thrown);
    } catch (const std::runtime_error &error) {
        CHECK(error.what() == std::string("mine"));
    }
    caught.up();
}

static void messages(const meshage::node &a, const meshage::node &b)
{
    std::atomic<int> alive(0);
    count got;
    b.on_message([&, own = std::make_unique<counted>(alive)](meshage::message message) {
        CHECK(message.source() == "a");
        got.up();
        throw std::runtime_error("mine");
    });
    CHECK(alive == 1);
    a.set("b", "one", soon);
    a.set("b", "two", soon);
    CHECK(got.reaches(2) && caught.reaches(2));
    CHECK(b.try_recv(meshage::at_once).code() == status::state);

    // The new callback keeps its message; the old callable is destroyed.
    std::optional<meshage::message> kept;
    count kept_one;
    b.on_message([&](meshage::message message) {
        kept = std::move(message);
        kept_one.up();
    });
    a.set("b", "three", soon);
    CHECK(kept_one.reaches(1) && kept->text() == "three");
    CHECK(alive == 0);
    b.on_message(nullptr);
    CHECK(b.try_recv(meshage::at_once).code() == status::again);
}

static void in_transit(const meshage::node &a, const meshage::node &b)
{
    count seen;
    std::optional<meshage::message> kept;
    b.on_snoop([&](meshage::message_view message) {
        if (!kept)
            kept = message.clone();
        seen.up();
    });
    a.set("c", "through", soon);
    CHECK(seen.reaches(1) && kept->text() == "through");
    b.on_snoop(nullptr);
}

static void outstanding_sends(const meshage::node &a)
{
    std::atomic<int> alive(0);
    count ended, failed;
    const meshage::message message = std::move(meshage::message("async").to("b").to("nobody"));
    meshage::pending pending = a.send_async(
        message,
        [&, own = std::make_unique<counted>(alive)](meshage::sent sent) {
            CHECK(sent.code() == status::partial && sent->delivered() == 1 && !sent.what().empty());
            ended.up();
        },
        soon);
    CHECK(ended.reaches(1));
    pending.cancel(); // No effect after the end of the send.

    const meshage::message to_self = std::move(meshage::message("to self").to("a"));
    CHECK(throws(status::self, [&] {
        a.send_async(to_self, [&, own = std::make_unique<counted>(alive)](meshage::sent) {
            failed.up();
        });
    }));
    const int before = caught.now();
    a.send_async(message, [](meshage::sent) { throw std::runtime_error("mine"); }, soon);
    CHECK(caught.reaches(before + 1) && failed.now() == 0);
    while (alive != 0)
        std::this_thread::yield();
}

static void events_and_the_log(const meshage::node &a)
{
    // A removed callback may still be running, so the counters outlive it.
    static count joined, lines;
    meshage::on_log(meshage::log_level::debugging,
                    [](meshage::log_level level, std::string_view part, std::string_view text) {
                        CHECK(level != meshage::log_level::none && !part.empty() && !text.empty());
                        lines.up();
                    });
    a.on_event([](const meshage::event &event) {
        if (event.kind == meshage::event_kind::node_joined && event.node == "late")
            joined.up();
    });
    {
        const meshage::node late(alone("late"));
        join(late, a);
        CHECK(joined.reaches(1) && lines.reaches(1));
    }
    a.on_event(nullptr);
    meshage::on_log(meshage::log_level::none, nullptr);
    CHECK(throws(status::invalid, [] { meshage::on_log(meshage::log_level(9), nullptr); }));
}

// Destroying a node destroys its callables, after a running one has returned.
static void destruction()
{
    std::atomic<int> alive(0);
    {
        const meshage::node one(alone("one"));
        one.on_message([own = std::make_unique<counted>(alive)](meshage::message) {});
        one.on_snoop([own = std::make_unique<counted>(alive)](meshage::message_view) {});
        one.on_event([own = std::make_unique<counted>(alive)](const meshage::event &) {});
        CHECK(alive == 3);
        one.close();
        CHECK(throws(status::closed, [&] {
            one.on_message([own = std::make_unique<counted>(alive)](meshage::message) {});
        }));
    }
    CHECK(alive == 0);
}

int main()
{
    CHECK(meshage::set_exception_handler(on_exception) != nullptr);
    const meshage::node a(alone("a")), b(alone("b")), c(alone("c"));
    join(a, b);
    join(b, c);
    a.wait({"b", "c"}, soon);
    messages(a, b);
    in_transit(a, b);
    outstanding_sends(a);
    events_and_the_log(a);
    destruction();
    CHECK(meshage::set_exception_handler(nullptr) == on_exception);
    return 0;
}
