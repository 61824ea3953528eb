// Shared by all C++ test programs: checks that print where they failed, and nodes on loopback.
#ifndef CHECK_HPP
#define CHECK_HPP

#include <meshage.hpp>

#include <condition_variable>
#include <cstdlib>
#include <iostream>
#include <mutex>
#include <thread>

// Longer than any operation takes, also under valgrind: a wait of this length has failed.
inline constexpr std::chrono::seconds soon(30);

#define CHECK(holds)                                                                               \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            std::cerr << __FILE__ << ":" << __LINE__ << ": failed: " << #holds                     \
                      << " (last error: " << meshage::last_error() << ")" << std::endl;            \
            std::_Exit(1);                                                                         \
        }                                                                                          \
    } while (0)

// Whether a call throws `meshage::error` with this status and a text.
template <typename Work> bool throws(meshage::status code, Work &&work)
{
    try {
        work();
    } catch (const meshage::error &error) {
        return error.code() == code && !std::string(error.what()).empty();
    }
    return false;
}

// The configuration of a node without discovery that listens on any free port of this machine.
inline meshage::config alone(const char *name)
{
    meshage::config config(name);
    config.bind("127.0.0.1").port(0).listen_port(0);
    return config;
}

inline std::string address_of(const meshage::node &node)
{
    return "127.0.0.1:" + std::to_string(node.port());
}

// Links two nodes and waits until each can reach the other.
inline void join(const meshage::node &a, const meshage::node &b)
{
    a.dial(address_of(b), soon);
    a.wait(b.name(), soon);
    b.wait(a.name(), soon);
}

// A counter that threads can wait for.
class count {
public:
    void up()
    {
        // Notified under the lock: a waiting thread that has returned may destroy this.
        const std::lock_guard<std::mutex> lock(mutex_);
        ++value_;
        changed_.notify_all();
    }
    int now() const
    {
        const std::lock_guard<std::mutex> lock(mutex_);
        return value_;
    }
    bool reaches(int least)
    {
        std::unique_lock<std::mutex> lock(mutex_);
        return changed_.wait_for(lock, soon, [&] { return value_ >= least; });
    }

private:
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    int value_ = 0;
};

#endif
