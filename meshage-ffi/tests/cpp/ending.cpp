// Nodes in globals, in function statics and in thread-locals: every call works in their destructors,
// and the nodes close there. Prints a line for each of these places.
#include "check.hpp"

#include <optional>

class pair {
public:
    explicit pair(const char *place) : place_(place) {}

    void open()
    {
        a_.emplace(alone("a"));
        b_.emplace(alone("b"));
        join(*a_, *b_);
        talk();
    }

    ~pair()
    {
        if (!a_)
            return;
        talk();
        a_->hangup("b");
        // A node that lives only here.
        const meshage::node late(alone("late"));
        late.dial(address_of(*b_), soon);
        CHECK(throws(meshage::status::timeout, [&] { late.recv(std::chrono::milliseconds(20)); }));
        a_.reset();
        b_.reset();
        std::cout << place_ << std::endl;
    }

private:
    void talk() const
    {
        CHECK(a_->set("b", place_, soon).all());
        CHECK(b_->recv(soon).text() == place_);
        CHECK(throws(meshage::status::no_route, [&] { a_->set("nobody", place_, soon); }));
    }

    const char *place_;
    std::optional<meshage::node> a_, b_;
};

static pair global("a global");
// Constructed at its first use: before and after the thread-locals of the library.
static thread_local pair early("a thread-local, constructed before"), late("a thread-local");

static pair &function_static()
{
    static pair value("a function static");
    return value;
}

int main()
{
    std::thread([] {
        early.open();
        late.open();
    }).join();
    early.open();
    function_static().open();
    global.open();
    return 0;
}
