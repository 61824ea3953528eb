/*
 * libmeshage for C++17 and later: a wrapper over meshage.h, in this header alone.
 *
 * A first program
 *
 *     meshage::node node(meshage::config("alice").degree(3));
 *     node.on_message([](meshage::message message) {
 *         std::cout << message.source() << " says " << message.text() << std::endl;
 *     });
 *     for (auto outcome : node.broadcast("hello"))
 *         std::cout << outcome.recipient << ": " << outcome.result << std::endl;
 *
 * Conventions
 *
 *   What a function means, what it may answer and whether it blocks stands in meshage.h, at the
 *   function of the same name; here stands what is different.
 *
 *   Ownership  Objects own what they stand for and free it. They can be moved, not copied; a
 *              message has clone(), which shares the body. A std::string_view or bytes_view that
 *              an object hands out is borrowed, and lives as long as the object.
 *   Errors     What cannot go on throws meshage::error, which has the status and a sentence. Calls
 *              that wait, or send, have a sibling try_… that never throws it and answers a result:
 *              true where all went well, with code() and what(). A send that reached only some
 *              throws meshage::send_error, which has the report; its result has it as well.
 *   Times      Any std::chrono duration, rounded up to milliseconds; meshage::forever;
 *              meshage::usual, the node's own timeout; meshage::at_once.
 *   Bodies     bytes_view, made of text, of any contiguous container of bytes, of pointer and
 *              length, and from C++20 on of a std::span.
 *   Callbacks  Any callable, one that can only be moved included. It is moved into the library and
 *              destroyed after its last use. An exception that leaves it goes no further than to
 *              the handler of set_exception_handler, which prints it unless you say otherwise.
 *   Threads    As in meshage.h: every function of a node may be called from any thread at any time,
 *              except that moving or destroying the object is as for any other.
 */

#ifndef MESHAGE_HPP
#define MESHAGE_HPP

#include <meshage.h>

#if (defined(_MSVC_LANG) ? _MSVC_LANG : __cplusplus) < 201703L
#error "meshage.hpp wants C++17 or later; meshage.h does with C++11"
#endif

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <initializer_list>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#if __cplusplus >= 202002L
#include <span>
#endif

namespace meshage {

// What became of a call: the statuses of meshage.h.
enum class status : std::int32_t {
    ok = MESHAGE_OK,
    null = MESHAGE_ERR_NULL,
    invalid = MESHAGE_ERR_INVALID,
    utf8 = MESHAGE_ERR_UTF8,
    timeout = MESHAGE_ERR_TIMEOUT,
    again = MESHAGE_ERR_AGAIN,
    closed = MESHAGE_ERR_CLOSED,
    canceled = MESHAGE_ERR_CANCELED,
    partial = MESHAGE_ERR_PARTIAL,
    no_route = MESHAGE_ERR_NO_ROUTE,
    not_found = MESHAGE_ERR_NOT_FOUND,
    exists = MESHAGE_ERR_EXISTS,
    self = MESHAGE_ERR_SELF,
    io = MESHAGE_ERR_IO,
    addr_in_use = MESHAGE_ERR_ADDR_IN_USE,
    refused = MESHAGE_ERR_REFUSED,
    auth = MESHAGE_ERR_AUTH,
    protocol = MESHAGE_ERR_PROTOCOL,
    too_large = MESHAGE_ERR_TOO_LARGE,
    busy = MESHAGE_ERR_BUSY,
    state = MESHAGE_ERR_STATE,
    forked = MESHAGE_ERR_FORKED,
    unsupported = MESHAGE_ERR_UNSUPPORTED,
    lost = MESHAGE_ERR_LOST,
    panic = MESHAGE_ERR_PANIC,
};

// How a body is to be read. Values from 1024 on are the application's: encoding(1024).
enum class encoding : std::int32_t {
    bytes = MESHAGE_ENCODING_BYTES,
    text = MESHAGE_ENCODING_TEXT,
    json = MESHAGE_ENCODING_JSON,
    bincode = MESHAGE_ENCODING_BINCODE,
    gob = MESHAGE_ENCODING_GOB,
};

// What happened on the mesh.
enum class event_kind : std::int32_t {
    link_up = MESHAGE_EVENT_LINK_UP,
    link_down = MESHAGE_EVENT_LINK_DOWN,
    node_joined = MESHAGE_EVENT_NODE_JOINED,
    node_left = MESHAGE_EVENT_NODE_LEFT,
    topology = MESHAGE_EVENT_TOPOLOGY,
    name_conflict = MESHAGE_EVENT_NAME_CONFLICT,
    overflow = MESHAGE_EVENT_OVERFLOW,
};

// The constants of meshage.h.
inline constexpr std::chrono::milliseconds default_timeout{MESHAGE_DEFAULT_TIMEOUT_MS};
inline constexpr std::chrono::milliseconds default_msa_timeout{MESHAGE_DEFAULT_MSA_TIMEOUT_MS};
inline constexpr std::uint16_t default_port = MESHAGE_DEFAULT_PORT;
inline constexpr std::size_t receive_buffer = MESHAGE_RECEIVE_BUFFER;
inline constexpr std::size_t solicit_limit = MESHAGE_SOLICIT_LIMIT;
inline constexpr std::size_t solicit_ratio = MESHAGE_SOLICIT_RATIO;
inline constexpr std::size_t lollipop_length = MESHAGE_LOLLIPOP_LENGTH;

// The version of the library that runs, as text and as a number.
inline std::string_view version() noexcept { return meshage_version(); }
inline std::uint32_t version_number() noexcept { return meshage_version_number(); }

// What a status means, in English.
inline std::string_view describe(status code) noexcept
{
    return meshage_strerror(static_cast<std::int32_t>(code));
}

inline std::ostream &operator<<(std::ostream &out, status code) { return out << describe(code); }

// What went wrong in this thread's last call, in a sentence; "" where nothing did. Borrowed until
// this thread's next call. The exceptions and results of this header carry it.
inline std::string_view last_error() noexcept { return meshage_last_error(); }

// Something that cannot go on: the status and a sentence that says what to do.
class error : public std::runtime_error {
public:
    error(status code, const std::string &what) : std::runtime_error(what), code_(code) {}

    status code() const noexcept { return code_; }

private:
    status code_;
};

// A time to wait: a duration, or one of `forever`, `usual` and `at_once`.
class timeout {
public:
    // Rounded up to milliseconds. More than 24 days are 24 days; a negative one is invalid.
    template <typename Rep, typename Period>
    constexpr timeout(std::chrono::duration<Rep, Period> time) : ms_(rounded(time))
    {
    }

    // As meshage.h has it: milliseconds, MESHAGE_INFINITE or MESHAGE_DEFAULT.
    static constexpr timeout raw(std::int32_t ms) noexcept { return timeout(ms); }

    constexpr std::int32_t ms() const noexcept { return ms_; }

private:
    explicit constexpr timeout(std::int32_t ms) noexcept : ms_(ms) {}

    // A negative value that stands for nothing: the library answers that it is invalid.
    static constexpr std::int32_t invalid = INT32_MIN;

    template <typename Time> static constexpr std::int32_t rounded(Time time)
    {
        using std::chrono::milliseconds;
        if (time < Time::zero())
            return invalid;
        if (std::chrono::duration<double, std::milli>(time).count() >= double(INT32_MAX))
            return INT32_MAX;
        const auto floor = std::chrono::duration_cast<milliseconds>(time);
        return static_cast<std::int32_t>(floor.count()) + (floor < time ? 1 : 0);
    }

    std::int32_t ms_;
};

inline constexpr timeout forever = timeout::raw(MESHAGE_INFINITE);
inline constexpr timeout usual = timeout::raw(MESHAGE_DEFAULT);
inline constexpr timeout at_once = timeout::raw(0);

// Bytes somewhere else: pointer and length. It owns nothing.
class bytes_view {
public:
    using value_type = std::byte;

    constexpr bytes_view() noexcept = default;
    bytes_view(const void *data, std::size_t size) noexcept
        : data_(static_cast<const std::byte *>(data)), size_(size)
    {
    }
    // The text up to its NUL.
    bytes_view(const char *text) noexcept : bytes_view(std::string_view(text)) {}

    // A std::string, std::string_view, std::vector<std::uint8_t>, std::span<std::byte>, …: whatever
    // has its bytes in one piece.
    template <typename Container,
              typename Element = std::remove_pointer_t<decltype(std::data(
                  std::declval<const Container &>()))>,
              std::enable_if_t<sizeof(Element) == 1 && std::is_trivially_copyable_v<Element> &&
                                   !std::is_array_v<Container> &&
                                   !std::is_same_v<Container, bytes_view>,
                               int> = 0>
    bytes_view(const Container &bytes) noexcept : bytes_view(std::data(bytes), std::size(bytes))
    {
    }

    const std::byte *data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    const std::byte *begin() const noexcept { return data_; }
    const std::byte *end() const noexcept { return data_ + size_; }
    std::byte operator[](std::size_t i) const noexcept { return data_[i]; }

    // The same bytes, read as text.
    std::string_view text() const noexcept
    {
        return size_ == 0 ? std::string_view() : std::string_view(chars(), size_);
    }

#if __cplusplus >= 202002L
    operator std::span<const std::byte>() const noexcept { return {data_, size_}; }
#endif

    friend bool operator==(bytes_view a, bytes_view b) noexcept { return a.text() == b.text(); }
    friend bool operator!=(bytes_view a, bytes_view b) noexcept { return a.text() != b.text(); }

private:
    const char *chars() const noexcept { return reinterpret_cast<const char *>(data_); }

    const std::byte *data_ = nullptr;
    std::size_t size_ = 0;
};

// Called with an exception that left a callback, on the callback's thread.
using exception_handler = void (*)(std::exception_ptr) noexcept;

namespace detail {

template <typename T, void (*Free)(T *)> struct freed {
    void operator()(T *handle) const noexcept { Free(handle); }
};
template <typename T, void (*Free)(T *)> using handle = std::unique_ptr<T, freed<T, Free>>;

inline std::string last_error_text()
{
    std::string text(meshage_last_error_copy(nullptr, 0), '\0');
    meshage_last_error_copy(text.data(), text.size() + 1);
    return text;
}

inline std::string sentence(meshage_status code)
{
    std::string text = last_error_text();
    return text.empty() ? std::string(meshage_strerror(code)) : text;
}

inline void check(meshage_status code)
{
    if (code != MESHAGE_OK)
        throw error(status(code), sentence(code));
}

inline std::string_view view(const char *text) noexcept
{
    return text == nullptr ? std::string_view() : std::string_view(text);
}

// A string with a NUL at its end, and none before.
inline std::string terminated(std::string_view text)
{
    if (text.find('\0') != text.npos)
        throw error(status::invalid, "a text with a NUL in it");
    return std::string(text);
}

// An iterator over what an object hands out by number.
template <typename Owner> class position {
public:
    using iterator_category = std::input_iterator_tag;
    using value_type = decltype(std::declval<const Owner &>()[0]);
    using difference_type = std::ptrdiff_t;
    using pointer = void;
    using reference = value_type;

    position() = default;
    position(const Owner *owner, std::size_t at) noexcept : owner_(owner), at_(at) {}

    value_type operator*() const { return (*owner_)[at_]; }
    position &operator++() noexcept
    {
        ++at_;
        return *this;
    }
    position operator++(int) noexcept { return position(owner_, at_++); }
    friend bool operator==(const position &a, const position &b) noexcept { return a.at_ == b.at_; }
    friend bool operator!=(const position &a, const position &b) noexcept { return a.at_ != b.at_; }

private:
    const Owner *owner_ = nullptr;
    std::size_t at_ = 0;
};

inline void print_exception(std::exception_ptr thrown) noexcept
{
    try {
        std::rethrow_exception(std::move(thrown));
    } catch (const std::exception &error) {
        std::fprintf(stderr, "meshage: an exception left a callback: %s\n", error.what());
    } catch (...) {
        std::fprintf(stderr, "meshage: an exception left a callback\n");
    }
}

inline std::atomic<exception_handler> current_exception_handler{print_exception};

// Calls what the program gave, and lets no exception out.
template <typename Work> void guarded(Work &&work) noexcept
{
    try {
        work();
    } catch (...) {
        current_exception_handler.load()(std::current_exception());
    }
}

// The callable itself is what `user_data` points to, and this is its `drop`.
template <typename Function> void destroy(void *user_data) noexcept
{
    delete static_cast<Function *>(user_data);
}

template <typename Function> std::unique_ptr<std::decay_t<Function>> boxed(Function &&function)
{
    return std::make_unique<std::decay_t<Function>>(std::forward<Function>(function));
}

} // namespace detail

// Says what becomes of an exception that leaves a callback; nullptr has it printed to standard
// error, as at first. Answers the handler that was in force.
inline exception_handler set_exception_handler(exception_handler handler) noexcept
{
    return detail::current_exception_handler.exchange(handler == nullptr ? detail::print_exception
                                                                         : handler);
}

// What a call that waits answers without throwing: a value, or why there is none.
template <typename T> class result {
public:
    result(T value) : value_(std::move(value)) {}
    result(status code, std::string what) : code_(code), what_(std::move(what)) {}

    explicit operator bool() const noexcept { return code_ == status::ok; }
    status code() const noexcept { return code_; }
    // A sentence where there is no value.
    const std::string &what() const noexcept { return what_; }

    T &operator*() & noexcept { return *value_; }
    const T &operator*() const & noexcept { return *value_; }
    T &&operator*() && noexcept { return std::move(*value_); }
    T *operator->() noexcept { return &*value_; }
    const T *operator->() const noexcept { return &*value_; }

    // The value; throws `error` where there is none.
    T value() &&
    {
        if (!*this)
            throw error(code_, what_);
        return std::move(*value_);
    }

private:
    status code_ = status::ok;
    std::string what_;
    std::optional<T> value_;
};

// What a call that waits for nothing but success answers without throwing.
template <> class result<void> {
public:
    result() = default;
    result(status code, std::string what) : code_(code), what_(std::move(what)) {}

    explicit operator bool() const noexcept { return code_ == status::ok; }
    status code() const noexcept { return code_; }
    const std::string &what() const noexcept { return what_; }

    // Throws `error` where it did not succeed.
    void value() const
    {
        if (!*this)
            throw error(code_, what_);
    }

private:
    status code_ = status::ok;
    std::string what_;
};

// A list of node names.
class names {
public:
    explicit names(meshage_names *owned) noexcept : handle_(owned) {}

    std::size_t size() const noexcept { return meshage_names_count(handle_.get()); }
    bool empty() const noexcept { return size() == 0; }
    std::string_view operator[](std::size_t i) const noexcept
    {
        return detail::view(meshage_names_get(handle_.get(), i));
    }
    detail::position<names> begin() const noexcept { return {this, 0}; }
    detail::position<names> end() const noexcept { return {this, size()}; }
    // Copies of the names.
    std::vector<std::string> strings() const { return {begin(), end()}; }

private:
    detail::handle<meshage_names, meshage_names_free> handle_;
};

// To whom a message goes, or for whom a node waits: one name, {"several", "names"}, or a container
// of them. It keeps copies.
class name_list {
public:
    name_list(const char *name) : name_list(std::string_view(name)) {}
    name_list(const std::string &name) : name_list(std::string_view(name)) {}
    name_list(std::string_view name) { add(name); }
    name_list(std::initializer_list<std::string_view> names)
    {
        for (std::string_view name : names)
            add(name);
    }
    template <typename Container,
              std::enable_if_t<
                  std::is_convertible_v<decltype(*std::begin(std::declval<const Container &>())),
                                        std::string_view>,
                  int> = 0>
    name_list(const Container &names)
    {
        for (std::string_view name : names)
            add(name);
    }

    std::size_t size() const noexcept { return names_.size(); }

    // As meshage.h wants them, for as long as this list lives and does not change.
    std::vector<const char *> pointers() const
    {
        std::vector<const char *> pointers;
        pointers.reserve(names_.size());
        for (const std::string &name : names_)
            pointers.push_back(name.c_str());
        return pointers;
    }

private:
    void add(std::string_view name) { names_.push_back(detail::terminated(name)); }

    std::vector<std::string> names_;
};

// What became of a message at one recipient.
struct outcome {
    std::string_view recipient;
    // ok; certainly not delivered: no_route, busy, too_large, canceled; unknown: timeout, lost.
    status result;

    explicit operator bool() const noexcept { return result == status::ok; }
};

// The outcome of a send for each of its recipients, in the order given; of a broadcast by name.
class report {
public:
    // A send that was not on its way: nobody.
    report() noexcept = default;
    explicit report(meshage_report *owned) noexcept : handle_(owned) {}

    std::size_t size() const noexcept { return meshage_report_count(handle_.get()); }
    bool empty() const noexcept { return size() == 0; }
    // How many have the message.
    std::size_t delivered() const noexcept { return meshage_report_delivered(handle_.get()); }
    bool all() const noexcept { return delivered() == size(); }
    outcome operator[](std::size_t i) const noexcept
    {
        return {detail::view(meshage_report_recipient(handle_.get(), i)),
                status(meshage_report_status(handle_.get(), i))};
    }
    detail::position<report> begin() const noexcept { return {this, 0}; }
    detail::position<report> end() const noexcept { return {this, size()}; }

private:
    detail::handle<meshage_report, meshage_report_free> handle_;
};

// A send that did not reach everybody, or nobody; the report has each recipient's outcome.
class send_error : public error {
public:
    send_error(status code, const std::string &what, report report)
        : error(code, what), report_(std::make_shared<meshage::report>(std::move(report)))
    {
    }

    // Empty where the message was not on its way.
    const meshage::report &outcomes() const noexcept { return *report_; }

private:
    // An exception can be copied, a report cannot.
    std::shared_ptr<const meshage::report> report_;
};

// What a send answers without throwing: true where everybody has the message. The report is there
// in either case; it is empty where the message was not on its way.
class sent {
public:
    sent(status code, std::string what, report report)
        : code_(code), what_(std::move(what)), report_(std::move(report))
    {
    }

    explicit operator bool() const noexcept { return code_ == status::ok; }
    // ok, partial, or the only recipient's; else why nothing was sent.
    status code() const noexcept { return code_; }
    // A sentence where not everybody has it.
    const std::string &what() const noexcept { return what_; }

    const report &outcomes() const noexcept { return report_; }
    const report &operator*() const noexcept { return report_; }
    const report *operator->() const noexcept { return &report_; }

    // The report; throws `send_error` where not everybody has the message.
    report value() &&
    {
        if (!*this)
            throw send_error(code_, what_, std::move(report_));
        return std::move(report_);
    }

private:
    status code_;
    std::string what_;
    report report_;
};

class message;

// A message that somebody else keeps: it lives as long as that one, in a snoop callback until the
// callback returns.
class message_view {
public:
    explicit message_view(const meshage_message *borrowed) noexcept : borrowed_(borrowed) {}

    // The node that sent it; "" of one built by hand.
    std::string_view source() const noexcept
    {
        return detail::view(meshage_message_source(borrowed_));
    }
    bytes_view body() const noexcept
    {
        std::size_t size = 0;
        const void *data = meshage_message_body(borrowed_, &size);
        return bytes_view(data, size);
    }
    // The body, read as text.
    std::string_view text() const noexcept { return body().text(); }
    meshage::encoding encoding() const noexcept
    {
        return meshage::encoding(meshage_message_encoding(borrowed_));
    }
    // Its number in the life of its source, and that life.
    std::uint64_t id() const noexcept { return meshage_message_id(borrowed_); }
    std::uint64_t instance() const noexcept { return meshage_message_instance(borrowed_); }
    // To whom it goes; nobody is named in a broadcast.
    std::vector<std::string_view> recipients() const
    {
        std::vector<std::string_view> names(meshage_message_recipient_count(borrowed_));
        for (std::size_t i = 0; i < names.size(); ++i)
            names[i] = detail::view(meshage_message_recipient(borrowed_, i));
        return names;
    }
    // The nodes that put it on a link: the source, then each relay.
    std::vector<std::string_view> route() const
    {
        std::vector<std::string_view> names(meshage_message_hop_count(borrowed_));
        for (std::size_t i = 0; i < names.size(); ++i)
            names[i] = detail::view(meshage_message_hop(borrowed_, i));
        return names;
    }
    // One to keep, which shares the body.
    message clone() const;

    const meshage_message *handle() const noexcept { return borrowed_; }

protected:
    const meshage_message *borrowed_;
};

// A message: received, or built by hand to be sent.
class message : public message_view {
public:
    // To be sent to everybody, unless it is given recipients. The body is copied.
    explicit message(bytes_view body) : message(meshage_message_create(body.data(), body.size()))
    {
        if (!owned_)
            throw error(status::invalid, detail::last_error_text());
    }
    // What a function of meshage.h gave away.
    explicit message(meshage_message *owned) noexcept : message_view(owned), owned_(owned) {}

    message(message &&other) noexcept : message_view(other), owned_(std::move(other.owned_))
    {
        other.borrowed_ = nullptr;
    }
    message &operator=(message &&other) noexcept
    {
        owned_ = std::move(other.owned_);
        borrowed_ = std::exchange(other.borrowed_, nullptr);
        return *this;
    }

    // Adds a recipient.
    message &to(std::string_view name)
    {
        const std::string recipient = detail::terminated(name);
        detail::check(meshage_message_add_recipient(owned_.get(), recipient.c_str()));
        return *this;
    }
    // Says how the body is to be read.
    message &as(meshage::encoding encoding)
    {
        detail::check(
            meshage_message_set_encoding(owned_.get(), static_cast<std::int32_t>(encoding)));
        return *this;
    }

    // Gives the handle away: it is now yours to free.
    meshage_message *release() noexcept
    {
        borrowed_ = nullptr;
        return owned_.release();
    }

private:
    detail::handle<meshage_message, meshage_message_free> owned_;
};

inline message message_view::clone() const { return message(meshage_message_clone(borrowed_)); }

// Something that happened on the mesh.
struct event {
    event_kind kind;
    // The node that it is about, or "".
    std::string node;

    explicit event(const meshage_event *borrowed)
        : kind(meshage::event_kind(meshage_event_kind_of(borrowed))),
          node(detail::view(meshage_event_node(borrowed)))
    {
    }
};

// Who is linked to whom: a snapshot, sorted by name.
class mesh {
public:
    explicit mesh(meshage_mesh *owned) noexcept : handle_(owned) {}

    std::size_t size() const noexcept { return meshage_mesh_count(handle_.get()); }
    std::string_view name(std::size_t i) const noexcept
    {
        return detail::view(meshage_mesh_name(handle_.get(), i));
    }
    // How many neighbours the `i`th node has, and who they are.
    std::size_t degree(std::size_t i) const noexcept
    {
        return meshage_mesh_degree(handle_.get(), i);
    }
    std::string_view neighbor(std::size_t i, std::size_t j) const noexcept
    {
        return detail::view(meshage_mesh_neighbor(handle_.get(), i, j));
    }

    // One node and its neighbours.
    struct entry {
        std::string_view name;
        std::vector<std::string_view> neighbors;
    };
    entry operator[](std::size_t i) const
    {
        entry node{name(i), std::vector<std::string_view>(degree(i))};
        for (std::size_t j = 0; j < node.neighbors.size(); ++j)
            node.neighbors[j] = neighbor(i, j);
        return node;
    }
    detail::position<mesh> begin() const noexcept { return {this, 0}; }
    detail::position<mesh> end() const noexcept { return {this, size()}; }
    // All of it, copied.
    std::map<std::string, std::vector<std::string>> map() const
    {
        std::map<std::string, std::vector<std::string>> map;
        for (const entry &node : *this)
            map.emplace(node.name,
                        std::vector<std::string>(node.neighbors.begin(), node.neighbors.end()));
        return map;
    }

private:
    detail::handle<meshage_mesh, meshage_mesh_free> handle_;
};

// A node's counters at one moment, sorted by name.
class stats {
public:
    explicit stats(meshage_stats *owned) noexcept : handle_(owned) {}

    // A counter.
    struct entry {
        std::string_view name;
        std::uint64_t value;
    };

    std::size_t size() const noexcept { return meshage_stats_count(handle_.get()); }
    entry operator[](std::size_t i) const noexcept
    {
        return {detail::view(meshage_stats_name(handle_.get(), i)),
                meshage_stats_value(handle_.get(), i)};
    }
    detail::position<stats> begin() const noexcept { return {this, 0}; }
    detail::position<stats> end() const noexcept { return {this, size()}; }
    // The counter of this name; throws where there is none.
    std::uint64_t at(std::string_view name) const
    {
        std::uint64_t value = 0;
        detail::check(
            meshage_stats_get(handle_.get(), detail::terminated(name).c_str(), &value));
        return value;
    }

private:
    detail::handle<meshage_stats, meshage_stats_free> handle_;
};

// What a node is configured with. Each setting answers the configuration, so that they chain.
class config {
public:
    // 1 to 64 bytes of [A-Za-z0-9._-], unique on the mesh; checked when the node is made.
    explicit config(std::string_view name)
        : handle_(meshage_config_create(detail::terminated(name).c_str()))
    {
        if (!handle_)
            throw error(status::utf8, detail::last_error_text());
    }

    // Only nodes of one namespace join each other by themselves.
    config &name_space(std::string_view ns) { return text(meshage_config_namespace, ns); }
    // How many links the node wants.
    config &degree(std::uint32_t degree) { return set(meshage_config_degree, degree); }
    // Adds an address to solicit at.
    config &broadcast(std::string_view ip) { return text(meshage_config_broadcast, ip); }
    // The address to listen at.
    config &bind(std::string_view ip) { return text(meshage_config_bind, ip); }
    // The port of the mesh, and the TCP port alone.
    config &port(std::uint16_t port) { return set(meshage_config_port, port); }
    config &listen_port(std::uint16_t port) { return set(meshage_config_listen_port, port); }
    // The application's version.
    config &version(std::string_view version) { return text(meshage_config_version, version); }
    // What `usual` stands for.
    config &timeout(meshage::timeout time) { return set(meshage_config_timeout, time.ms()); }
    // How often the node announces its links though nothing changed.
    config &msa_timeout(meshage::timeout time)
    {
        return set(meshage_config_msa_timeout, time.ms());
    }
    // How many messages wait for the application at most.
    config &receive_buffer(std::size_t messages)
    {
        return set(meshage_config_receive_buffer, messages);
    }
    // The largest body, in bytes.
    config &max_message(std::size_t bytes) { return set(meshage_config_max_message, bytes); }
    // How many threads move the node's bytes.
    config &worker_threads(std::uint32_t threads)
    {
        return set(meshage_config_worker_threads, threads);
    }
    // Adds an address that the node dials until it is linked, for ever.
    config &seed_address(std::string_view address)
    {
        return text(meshage_config_seed_address, address);
    }

    const meshage_config *handle() const noexcept { return handle_.get(); }

private:
    template <typename Value>
    config &set(meshage_status (*function)(meshage_config *, Value), Value value)
    {
        detail::check(function(handle_.get(), value));
        return *this;
    }
    config &text(meshage_status (*function)(meshage_config *, const char *), std::string_view text)
    {
        return set<const char *>(function, detail::terminated(text).c_str());
    }

    detail::handle<meshage_config, meshage_config_free> handle_;
};

// A send under way. Letting go of it does not cancel it.
class pending {
public:
    explicit pending(meshage_op *owned) noexcept : handle_(owned) {}

    // Ends the send at once; its callback still runs, once.
    void cancel() const noexcept { meshage_op_cancel(handle_.get()); }

private:
    detail::handle<meshage_op, meshage_op_free> handle_;
};

// A participant of the mesh. Destroying it closes it and waits until none of its callbacks runs.
class node {
public:
    // Starts a node: it listens now, and finds its links by itself from here on.
    explicit node(const config &config)
    {
        // A library of another version, which might mean something else, fails to link here.
        static_cast<void>(MESHAGE_ABI());
        meshage_node *made = nullptr;
        detail::check(meshage_node_create(config.handle(), &made));
        handle_.reset(made);
    }

    // Takes no more sends, wakes every waiter, and gives back at once.
    void close() const noexcept { meshage_node_close(get()); }

    std::string_view name() const noexcept { return detail::view(meshage_node_name(get())); }
    // The TCP port that it listens on.
    std::uint16_t port() const noexcept { return meshage_node_port(get()); }
    // How many links it wants.
    std::uint32_t degree() const noexcept { return meshage_node_degree(get()); }
    void set_degree(std::uint32_t degree) const
    {
        detail::check(meshage_node_set_degree(get(), degree));
    }
    // How often it announces its links though nothing changed.
    std::chrono::milliseconds msa_timeout() const noexcept
    {
        return std::chrono::milliseconds(meshage_node_msa_timeout(get()));
    }
    void set_msa_timeout(timeout time) const
    {
        detail::check(meshage_node_set_msa_timeout(get(), time.ms()));
    }
    // Announces the links now.
    void msa() const { detail::check(meshage_node_msa(get())); }

    // The nodes that it has links to.
    names peers() const { return made<names>(meshage_node_peers); }
    // The topology as it knows it, itself included.
    meshage::mesh mesh() const { return made<meshage::mesh>(meshage_node_mesh); }
    // The topology in Graphviz's language.
    std::string dot() const
    {
        char *text = nullptr;
        detail::check(meshage_node_dot(get(), &text));
        const detail::handle<char, meshage_string_free> owned(text);
        return std::string(text);
    }
    // Its counters.
    meshage::stats stats() const { return made<meshage::stats>(meshage_node_stats); }

    // Waits until all these nodes can be reached.
    void wait(const name_list &names, timeout time = usual) const { try_wait(names, time).value(); }
    result<void> try_wait(const name_list &names, timeout time = usual) const
    {
        const auto pointers = names.pointers();
        return done(meshage_node_wait(get(), pointers.data(), pointers.size(), time.ms()));
    }

    // Links it to the one that listens at "host", "host:port" or "[v6]:port".
    void dial(std::string_view address, timeout time = usual) const
    {
        try_dial(address, time).value();
    }
    result<void> try_dial(std::string_view address, timeout time = usual) const
    {
        return done(meshage_dial(get(), detail::terminated(address).c_str(), time.ms()));
    }
    // Closes the link to a peer.
    void hangup(std::string_view peer) const { try_hangup(peer).value(); }
    result<void> try_hangup(std::string_view peer) const
    {
        return done(meshage_hangup(get(), detail::terminated(peer).c_str()));
    }

    // Sends a body to the named nodes and waits until all have it in their queues. Throws
    // `send_error` where not everybody has it.
    report set(const name_list &recipients, bytes_view body, timeout time = usual) const
    {
        return try_set(recipients, body, time).value();
    }
    sent try_set(const name_list &recipients, bytes_view body, timeout time = usual) const
    {
        const auto pointers = recipients.pointers();
        meshage_report *owned = nullptr;
        const meshage_status code = meshage_set(get(), pointers.data(), pointers.size(),
                                                body.data(), body.size(), time.ms(), &owned);
        return ended(code, owned);
    }
    // Sends a body to every node that can be reached now.
    report broadcast(bytes_view body, timeout time = usual) const
    {
        return try_broadcast(body, time).value();
    }
    sent try_broadcast(bytes_view body, timeout time = usual) const
    {
        meshage_report *owned = nullptr;
        const meshage_status code =
            meshage_broadcast(get(), body.data(), body.size(), time.ms(), &owned);
        return ended(code, owned);
    }
    // The nodes that a broadcast would go to now.
    names broadcast_recipients() const { return made<names>(meshage_broadcast_recipients); }
    // Sends a message built by hand, or received; without recipients it is a broadcast.
    report send(const message_view &message, timeout time = usual) const
    {
        return try_send(message, time).value();
    }
    sent try_send(const message_view &message, timeout time = usual) const
    {
        meshage_report *owned = nullptr;
        const meshage_status code = meshage_send(get(), message.handle(), time.ms(), &owned);
        return ended(code, owned);
    }
    // Begins to send and gives back at once. `done` is called exactly once with a `sent`, unless
    // this throws, when it is never called.
    template <typename Done>
    pending send_async(const message_view &message, Done &&done, timeout time = usual) const
    {
        using function = std::decay_t<Done>;
        auto owned = detail::boxed(std::forward<Done>(done));
        meshage_op *op = nullptr;
        detail::check(meshage_send_async(get(), message.handle(), time.ms(), reported<function>,
                                         owned.get(), &op));
        // The callback has it now, and may have ended already.
        static_cast<void>(owned.release());
        return pending(op);
    }

    // Waits for a message. Throws where none comes in time, and once the node is closed and its
    // queue empty; a loop reads `while (auto message = node.try_recv(forever))`.
    message recv(timeout time = forever) const { return try_recv(time).value(); }
    result<message> try_recv(timeout time = forever) const
    {
        meshage_message *owned = nullptr;
        const meshage_status code = meshage_recv(get(), time.ms(), &owned);
        if (code != MESHAGE_OK)
            return {status(code), detail::sentence(code)};
        return message(owned);
    }
    // Waits for a first message, then hands up to `max` of those that are there to `take`, on this
    // thread; answers how many. An exception of `take`'s goes on to the caller, after the others of
    // these messages were handed over, too; of several, the first.
    template <typename Take> std::size_t poll(timeout time, std::size_t max, Take &&take) const
    {
        return try_poll(time, max, take).value();
    }
    template <typename Take>
    result<std::size_t> try_poll(timeout time, std::size_t max, Take &&take) const
    {
        taking<std::remove_reference_t<Take>> work{&take, nullptr};
        std::size_t handled = 0;
        const meshage_status code = meshage_poll(
            get(), time.ms(), max, taking<std::remove_reference_t<Take>>::call, &work, &handled);
        if (work.thrown)
            std::rethrow_exception(work.thrown);
        if (code != MESHAGE_OK)
            return {status(code), detail::sentence(code)};
        return handled;
    }
    // A descriptor for poll(2): readable while a message waits, and once the node is closed.
    int recv_fd() const
    {
        int fd = -1;
        detail::check(meshage_recv_fd(get(), &fd));
        return fd;
    }

    // Calls `take` with every `message`, one at a time, on the node's own thread; nullptr takes the
    // callback away.
    template <typename Take> void on_message(Take &&take) const
    {
        if constexpr (std::is_null_pointer_v<std::decay_t<Take>>) {
            detail::check(meshage_on_message(get(), nullptr, nullptr, nullptr));
        } else {
            using function = std::decay_t<Take>;
            void *const owned = detail::boxed(std::forward<Take>(take)).release();
            detail::check(meshage_on_message(get(), arrived<function>, owned,
                                             detail::destroy<function>));
        }
    }
    // Calls `look` with a `message_view` of every message that passes through and is not for this
    // node; nullptr takes the callback away.
    template <typename Look> void on_snoop(Look &&look) const
    {
        if constexpr (std::is_null_pointer_v<std::decay_t<Look>>) {
            detail::check(meshage_on_snoop(get(), nullptr, nullptr, nullptr));
        } else {
            using function = std::decay_t<Look>;
            void *const owned = detail::boxed(std::forward<Look>(look)).release();
            detail::check(
                meshage_on_snoop(get(), passed<function>, owned, detail::destroy<function>));
        }
    }
    // Calls `hear` with every `event` from now on; nullptr takes the callback away.
    template <typename Hear> void on_event(Hear &&hear) const
    {
        if constexpr (std::is_null_pointer_v<std::decay_t<Hear>>) {
            detail::check(meshage_on_event(get(), nullptr, nullptr, nullptr));
        } else {
            using function = std::decay_t<Hear>;
            void *const owned = detail::boxed(std::forward<Hear>(hear)).release();
            detail::check(
                meshage_on_event(get(), happened<function>, owned, detail::destroy<function>));
        }
    }

    // Waits for an event; each since the node's creation comes once, in order.
    event next_event(timeout time = forever) const { return try_next_event(time).value(); }
    result<event> try_next_event(timeout time = forever) const
    {
        meshage_event *made = nullptr;
        const meshage_status code = meshage_next_event(get(), time.ms(), &made);
        if (code != MESHAGE_OK)
            return {status(code), detail::sentence(code)};
        const detail::handle<meshage_event, meshage_event_free> owned(made);
        return event(made);
    }

    // The handle, for the functions of meshage.h. It stays this object's.
    meshage_node *handle() const noexcept { return get(); }

private:
    meshage_node *get() const noexcept { return handle_.get(); }

    // An object made by a function with an out-parameter.
    template <typename Object, typename Made>
    Object made(meshage_status (*function)(const meshage_node *, Made **)) const
    {
        Made *owned = nullptr;
        detail::check(function(get(), &owned));
        return Object(owned);
    }

    static result<void> done(meshage_status code)
    {
        if (code == MESHAGE_OK)
            return {};
        return {status(code), detail::sentence(code)};
    }

    static sent ended(meshage_status code, meshage_report *owned)
    {
        report outcomes(owned);
        std::string what = code == MESHAGE_OK ? std::string() : detail::sentence(code);
        return {status(code), std::move(what), std::move(outcomes)};
    }

    template <typename Done>
    static void reported(void *user_data, meshage_status code, meshage_report *owned) noexcept
    {
        const std::unique_ptr<Done> done(static_cast<Done *>(user_data));
        detail::guarded([&] {
            report outcomes(owned);
            std::string what;
            if (code != MESHAGE_OK)
                what = meshage_strerror(code);
            (*done)(sent(status(code), std::move(what), std::move(outcomes)));
        });
    }

    template <typename Take> static void arrived(void *user_data, meshage_message *owned) noexcept
    {
        detail::guarded([&] { (*static_cast<Take *>(user_data))(message(owned)); });
    }

    template <typename Look>
    static void passed(void *user_data, const meshage_message *borrowed) noexcept
    {
        detail::guarded([&] { (*static_cast<Look *>(user_data))(message_view(borrowed)); });
    }

    template <typename Hear>
    static void happened(void *user_data, const meshage_event *borrowed) noexcept
    {
        detail::guarded([&] { (*static_cast<Hear *>(user_data))(event(borrowed)); });
    }

    // What `poll` hands to the library: the caller's function, and what it threw.
    template <typename Take> struct taking {
        Take *take;
        std::exception_ptr thrown;

        static void call(void *user_data, meshage_message *owned) noexcept
        {
            taking &self = *static_cast<taking *>(user_data);
            try {
                (*self.take)(message(owned));
            } catch (...) {
                if (!self.thrown)
                    self.thrown = std::current_exception();
            }
        }
    };

    detail::handle<meshage_node, meshage_node_free> handle_;
};

// How much the log says.
enum class log_level : std::int32_t { none, error, warning, information, debugging, trace };

namespace detail {

template <typename Write>
void logged(void *user_data, std::int32_t level, const char *target, const char *text) noexcept
{
    guarded([&] {
        (*static_cast<Write *>(user_data))(log_level(level), std::string_view(target),
                                           std::string_view(text));
    });
}

} // namespace detail

// Hands the library's log to `write(log_level, std::string_view part, std::string_view text)`, for
// all nodes of the process; nullptr takes the callback away.
template <typename Write> void on_log(log_level most, Write &&write)
{
    const auto level = static_cast<std::int32_t>(most);
    if constexpr (std::is_null_pointer_v<std::decay_t<Write>>) {
        detail::check(meshage_on_log(level, nullptr, nullptr, nullptr));
    } else {
        using function = std::decay_t<Write>;
        void *const owned = detail::boxed(std::forward<Write>(write)).release();
        detail::check(
            meshage_on_log(level, detail::logged<function>, owned, detail::destroy<function>));
    }
}

} // namespace meshage

#endif // MESHAGE_HPP
