// Nodes that send to each other: reports, results, exceptions, events, the topology.
#include "check.hpp"

#include <poll.h>
#include <set>
#include <thread>

using namespace std::chrono_literals;
using meshage::status;

static void sends(const meshage::node &a, const meshage::node &b)
{
    const meshage::report one = a.set("b", "one", soon);
    CHECK(one.all() && one.size() == 1 && one.delivered() == 1);
    CHECK(one[0].recipient == "b" && one[0].result == status::ok && one[0]);
    const meshage::message got = b.recv(soon);
    CHECK(got.source() == "a" && got.text() == "one" && got.id() != 0 && got.instance() != 0);
    CHECK((got.route() == std::vector<std::string_view>{"a"}));
    CHECK((got.recipients() == std::vector<std::string_view>{"b"}));

    CHECK(a.broadcast(std::vector<std::uint8_t>{1, 2, 3}, soon).all());
    CHECK(b.recv(soon).body().size() == 3);
    CHECK(a.send(meshage::message("created").to("b").as(meshage::encoding::json), soon).all());
    CHECK(b.recv(soon).encoding() == meshage::encoding::json);
    // An empty broadcast arrives as an empty message.
    CHECK(b.try_broadcast("", soon).code() == status::ok);
    CHECK(a.recv(soon).text().empty());
    CHECK(a.broadcast_recipients().strings() == std::vector<std::string>{"b"});
}

static void failures(const meshage::node &a, const meshage::node &b)
{
    try {
        a.set({"b", "nobody"}, "some", soon);
        CHECK(!"it throws");
    } catch (const meshage::send_error &error) {
        const meshage::send_error copy = error;
        CHECK(copy.code() == status::partial && copy.outcomes().delivered() == 1);
        std::set<std::string> failed;
        for (const meshage::outcome outcome : copy.outcomes())
            if (!outcome)
                failed.insert(std::string(outcome.recipient));
        CHECK(failed == std::set<std::string>{"nobody"});
    }
    CHECK(b.recv(soon).text() == "some");
    const meshage::sent none = a.try_set("nobody", "none", soon);
    CHECK(!none && none.code() == status::no_route && !none.what().empty());
    CHECK(none->size() == 1 && (*none)[0].result == status::no_route);
    CHECK(throws(status::self, [&] { a.set("a", "myself"); }));
    CHECK(a.try_set("a", "myself").outcomes().empty());
    CHECK(a.try_set({}, "no recipients").code() == status::invalid);
    CHECK(throws(status::invalid, [&] { a.try_set(std::string_view("b\0c", 3), "cut off"); }));
    CHECK(a.try_recv(meshage::at_once).code() == status::again);
    CHECK(throws(status::timeout, [&] { a.recv(1ms); }));
    CHECK(throws(status::invalid, [&] { a.recv(-1s); }));
    CHECK(a.try_wait({"b", "nobody"}, 1ms).code() == status::timeout);
    CHECK(a.try_dial("127.0.0.1:99999", soon).code() == status::invalid);
    CHECK(throws(status::not_found, [&] { a.hangup("nobody"); }));
}

static void options(const meshage::node &a, const meshage::node &b)
{
    auto retry = meshage::send_options().retry().timeout(soon);
    CHECK(a.set("b", "set", retry).all());
    CHECK(a.broadcast("broadcast", retry).all());
    CHECK(a.send(meshage::message("send").to("b"), retry).all());
    CHECK(a.try_set("b", "defaults", meshage::send_options()).code() == status::ok);
    for (const char *text : {"set", "broadcast", "send", "defaults"})
        CHECK(b.recv(soon).text() == text);
    CHECK(throws(status::invalid, [&] { retry.timeout(-1s); }));

    // A retried send begins before its recipient exists.
    count arrived;
    a.send_async(
        meshage::message("async").to("late"),
        [&](meshage::sent sent) {
            CHECK(sent);
            arrived.up();
        },
        retry);
    CHECK(a.try_set("late", "x", retry.retry(false)).code() == status::no_route);
    {
        const meshage::node late(alone("late"));
        join(a, late);
        CHECK(late.recv(soon).text() == "async");
        CHECK(arrived.reaches(1));
    }

    // At once: sent, and the outcome is not known.
    const auto at_once = meshage::send_options().timeout(meshage::at_once);
    for (int i = 0; i < 100; ++i) {
        CHECK(a.try_set("b", "x", at_once).code() == status::timeout);
        CHECK(a.try_set("b", "x", meshage::at_once).code() == status::timeout);
    }
    for (int i = 0; i < 200; ++i)
        CHECK(b.recv(soon).text() == "x");
    CHECK(a.try_set("nobody", "x", at_once).code() == status::no_route);
}

static void polls(const meshage::node &a, const meshage::node &b)
{
    for (int i = 0; i < 3; ++i)
        a.set("b", std::to_string(i), soon);
    std::string all;
    while (all.size() < 3)
        b.poll(soon, 8, [&](const meshage::message &message) { all += message.text(); });
    CHECK(all == "012");

    // An exception of the callable reaches the caller of poll; no message is lost.
    for (int i = 0; i < 3; ++i)
        a.set("b", std::to_string(i), soon);
    int seen = 0, thrown = 0;
    while (seen < 3) {
        try {
            b.poll(soon, 8, [&](meshage::message) {
                ++seen;
                throw std::runtime_error("mine");
            });
        } catch (const std::runtime_error &error) {
            CHECK(error.what() == std::string("mine"));
            ++thrown;
        }
    }
    CHECK(seen == 3 && thrown >= 1);
    CHECK(b.try_poll(meshage::at_once, 1, [](meshage::message) {}).code() == status::again);
    CHECK(throws(status::invalid, [&] { b.poll(soon, 0, [](meshage::message) {}); }));

    struct pollfd readable = {b.recv_fd(), POLLIN, 0};
    CHECK(poll(&readable, 1, 0) == 0);
    a.set("b", "there", soon);
    CHECK(poll(&readable, 1, 30000) == 1);
    CHECK(b.recv(meshage::at_once).text() == "there");
}

static void topology(const meshage::node &a, const meshage::node &b)
{
    const meshage::mesh mesh = a.mesh();
    CHECK(mesh.size() == 2 && mesh.name(1) == "b" && mesh.degree(0) == 1);
    CHECK(mesh.neighbor(0, 0) == "b");
    const std::map<std::string, std::vector<std::string>> expected{{"a", {"b"}}, {"b", {"a"}}};
    CHECK(mesh.map() == expected);
    CHECK(a.dot().find("graph") != std::string::npos);
    CHECK(b.peers().size() == 1 && b.peers()[0] == "a" && !b.peers().empty());
    const meshage::stats stats = a.stats();
    CHECK(stats.size() > 0);
    for (const meshage::stats::entry counter : stats)
        CHECK(stats.at(counter.name) == counter.value);
    CHECK(throws(status::not_found, [&] { stats.at("unknown"); }));
    a.msa();
    a.set_degree(0);
    a.set_msa_timeout(20s);
    CHECK(a.msa_timeout() == 20s);
    // The handle can be used with the functions of meshage.h.
    CHECK(meshage_node_port(a.handle()) == a.port());
}

static void events(const meshage::node &a, meshage::node b)
{
    bool joined = false;
    while (!joined) {
        const meshage::event event = a.next_event(soon);
        joined = event.kind == meshage::event_kind::node_joined && event.node == "b";
        CHECK(!joined || (event.instance != 0 && event.reason.empty()));
        CHECK(event.departure == meshage::departure::none);
    }
    a.hangup("b");
    bool left = false;
    while (!left) {
        const auto event = a.try_next_event(soon);
        CHECK(event);
        left = event->kind == meshage::event_kind::node_left && event->node == "b";
        CHECK(!left || event->departure != meshage::departure::none);
        if (event->kind == meshage::event_kind::link_down)
            CHECK(event->instance != 0 && !event->reason.empty());
    }
    // A waiting call returns when the node is closed.
    std::thread waits([&] { CHECK(b.try_recv(meshage::forever).code() == status::closed); });
    b.close();
    waits.join();
    CHECK(b.try_broadcast("too late").code() == status::closed);
    CHECK(b.try_broadcast("too late").outcomes().empty());
}

int main()
{
    const meshage::node a(alone("a"));
    meshage::node b(alone("b"));
    join(a, b);
    sends(a, b);
    failures(a, b);
    options(a, b);
    polls(a, b);
    topology(a, b);
    events(a, std::move(b));
    return 0;
}
