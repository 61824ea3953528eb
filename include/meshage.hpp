/*
 * libmeshage for C++17 and later: a header-only wrapper over meshage.h.
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
 *   meshage.h documents each function under the same name: its meaning, its errors, and whether it
 *   blocks. The comments here describe only the differences.
 *
 *   Ownership  Objects own their handles and free them. They can be moved but not copied; a message
 *              has clone(), which shares the body. A std::string_view or bytes_view that an object
 *              returns is borrowed: it is valid as long as the object.
 *   Errors     An error throws meshage::error, which has the status and a text. Each call that
 *              waits or sends has a variant try_… that returns a result instead: true on success,
 *              with code() and what(). A send that was not delivered to all recipients throws
 *              meshage::send_error, which has the report; the result of a try_… has it too. A dial
 *              that fails because of the keys throws meshage::auth_error.
 *   Times      A time is any std::chrono duration (rounded up to milliseconds), meshage::forever,
 *              meshage::usual (the node's own timeout), or meshage::at_once: then a call does not
 *              wait. A message that is sent at_once is sent, and its outcome is usually unknown.
 *   Bodies     A body is a bytes_view, which converts from text, from any contiguous container of
 *              bytes, from pointer and length, and since C++20 from a std::span.
 *   Callbacks  Any callable, including one that can only be moved. It is moved into the library and
 *              destroyed after its last use. An exception that leaves a callback is passed to the
 *              handler of set_exception_handler, which by default prints it.
 *   Threads    As in meshage.h: every function of a node may be called from any thread at any time.
 *              Moving or destroying the object itself is not synchronized.
 *
 * Contents
 *
 *   statuses and constants · errors · times · bytes · exceptions in callbacks · results · names ·
 *   reports · options of a send · messages · events · topology · counters · keys · configuration ·
 *   callbacks · node · log
 */

#ifndef MESHAGE_HPP
#define MESHAGE_HPP

#include <meshage.h>

#if (defined(_MSVC_LANG) ? _MSVC_LANG : __cplusplus) < 201703L
#error "meshage.hpp requires C++17 or later; meshage.h requires C++11"
#endif

#include <array>
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

// ---- Statuses and constants ---------------------------------------------------------------------

// The result of a call: the statuses of meshage.h.
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

// The encoding of a body. Values from 1024 upwards are the application's: encoding(1024).
enum class encoding : std::int32_t {
    bytes = MESHAGE_ENCODING_BYTES,
    text = MESHAGE_ENCODING_TEXT,
    json = MESHAGE_ENCODING_JSON,
    bincode = MESHAGE_ENCODING_BINCODE,
    gob = MESHAGE_ENCODING_GOB,
};

// The kinds of events.
enum class event_kind : std::int32_t {
    link_up = MESHAGE_EVENT_LINK_UP,
    link_down = MESHAGE_EVENT_LINK_DOWN,
    node_joined = MESHAGE_EVENT_NODE_JOINED,
    node_left = MESHAGE_EVENT_NODE_LEFT,
    topology = MESHAGE_EVENT_TOPOLOGY,
    name_conflict = MESHAGE_EVENT_NAME_CONFLICT,
    overflow = MESHAGE_EVENT_OVERFLOW,
    discovery_failed = MESHAGE_EVENT_DISCOVERY_FAILED,
    key_mismatch = MESHAGE_EVENT_KEY_MISMATCH,
    revoked = MESHAGE_EVENT_REVOKED,
};

// How a node departed.
enum class departure : std::int32_t {
    none = MESHAGE_DEPARTURE_NONE,
    left = MESHAGE_DEPARTURE_LEFT,
    failed = MESHAGE_DEPARTURE_FAILED,
};

// The constants of meshage.h.
inline constexpr std::chrono::milliseconds default_timeout{MESHAGE_DEFAULT_TIMEOUT_MS};
inline constexpr std::chrono::milliseconds default_msa_timeout{MESHAGE_DEFAULT_MSA_TIMEOUT_MS};
inline constexpr std::uint16_t default_port = MESHAGE_DEFAULT_PORT;
inline constexpr std::size_t receive_buffer = MESHAGE_RECEIVE_BUFFER;
inline constexpr std::size_t solicit_limit = MESHAGE_SOLICIT_LIMIT;
inline constexpr std::size_t solicit_ratio = MESHAGE_SOLICIT_RATIO;
inline constexpr std::size_t lollipop_length = MESHAGE_LOLLIPOP_LENGTH;

// The version of the running library, as text and as a number.
inline std::string_view version() noexcept { return meshage_version(); }
inline std::uint32_t version_number() noexcept { return meshage_version_number(); }

// ---- Errors -------------------------------------------------------------------------------------

// The meaning of a status, in English.
inline std::string_view describe(status code) noexcept
{
    return meshage_strerror(static_cast<std::int32_t>(code));
}

inline std::ostream &operator<<(std::ostream &out, status code) { return out << describe(code); }

// A sentence that describes the error of this thread's last call; "" if that succeeded. Borrowed
// until this thread's next call. The exceptions and results of this header have a copy.
inline std::string_view last_error() noexcept { return meshage_last_error(); }

// An error: its status, and what() with a sentence that describes it.
class error : public std::runtime_error {
public:
    error(status code, const std::string &what) : std::runtime_error(what), code_(code) {}

    status code() const noexcept { return code_; }

private:
    status code_;
};

// A dial failed because the two nodes have no key in common, one of them does not encrypt, or one of
// them may not join. what() says what was heard, with the ids of the keys, and what to do.
class auth_error : public error {
public:
    explicit auth_error(const std::string &what) : error(status::auth, what) {}
};

namespace detail {

[[noreturn]] inline void raise(status code, const std::string &what)
{
    if (code == status::auth)
        throw auth_error(what);
    throw error(code, what);
}

} // namespace detail

// ---- Times --------------------------------------------------------------------------------------

// A time to wait: a duration, or one of `forever`, `usual` and `at_once`.
class timeout {
public:
    // Rounded up to milliseconds. A duration of more than 24 days counts as 24 days; a negative one
    // is invalid.
    template <typename Rep, typename Period>
    constexpr timeout(std::chrono::duration<Rep, Period> time) : ms_(rounded(time))
    {
    }

    // The value for meshage.h: milliseconds, MESHAGE_INFINITE or MESHAGE_DEFAULT.
    static constexpr timeout raw(std::int32_t ms) noexcept { return timeout(ms); }

    constexpr std::int32_t ms() const noexcept { return ms_; }

private:
    explicit constexpr timeout(std::int32_t ms) noexcept : ms_(ms) {}

    // A negative value without a meaning: the library returns that it is invalid.
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

// ---- Bytes --------------------------------------------------------------------------------------

// A view of bytes: pointer and length. It does not own them.
class bytes_view {
public:
    using value_type = std::byte;

    constexpr bytes_view() noexcept = default;
    bytes_view(const void *data, std::size_t size) noexcept
        : data_(static_cast<const std::byte *>(data)), size_(size)
    {
    }
    // A NUL-terminated text, without its NUL.
    bytes_view(const char *text) noexcept : bytes_view(std::string_view(text)) {}

    // Any contiguous container of bytes: std::string, std::string_view, std::vector<std::uint8_t>,
    // std::span<std::byte>, …
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

    // The same bytes as text.
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
        raise(status(code), sentence(code));
}

inline std::string_view view(const char *text) noexcept
{
    return text == nullptr ? std::string_view() : std::string_view(text);
}

// A NUL-terminated string. A NUL inside it is an error.
inline std::string terminated(std::string_view text)
{
    if (text.find('\0') != text.npos)
        throw error(status::invalid, "the text contains a NUL");
    return std::string(text);
}

// An iterator over the elements of an object with operator[].
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

} // namespace detail

// ---- Exceptions in callbacks --------------------------------------------------------------------

// Called with an exception that left a callback, on the callback's thread.
using exception_handler = void (*)(std::exception_ptr) noexcept;

namespace detail {

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

// Calls the application. An exception goes to the exception handler.
template <typename Work> void guarded(Work &&work) noexcept
{
    try {
        work();
    } catch (...) {
        current_exception_handler.load()(std::current_exception());
    }
}

// The `drop` function of a callback whose `user_data` points to the callable itself.
template <typename Function> void destroy(void *user_data) noexcept
{
    delete static_cast<Function *>(user_data);
}

template <typename Function> std::unique_ptr<std::decay_t<Function>> boxed(Function &&function)
{
    return std::make_unique<std::decay_t<Function>>(std::forward<Function>(function));
}

} // namespace detail

// Sets the handler for exceptions that leave a callback. nullptr restores the default, which prints
// them to standard error. Returns the previous handler.
inline exception_handler set_exception_handler(exception_handler handler) noexcept
{
    return detail::current_exception_handler.exchange(handler == nullptr ? detail::print_exception
                                                                         : handler);
}

// ---- Results ------------------------------------------------------------------------------------

// The result of a call that does not throw: a value, or an error.
template <typename T> class result {
public:
    result(T value) : value_(std::move(value)) {}
    result(status code, std::string what) : code_(code), what_(std::move(what)) {}

    explicit operator bool() const noexcept { return code_ == status::ok; }
    status code() const noexcept { return code_; }
    // A sentence that describes the error; empty if there is a value.
    const std::string &what() const noexcept { return what_; }

    T &operator*() & noexcept { return *value_; }
    const T &operator*() const & noexcept { return *value_; }
    T &&operator*() && noexcept { return std::move(*value_); }
    T *operator->() noexcept { return &*value_; }
    const T *operator->() const noexcept { return &*value_; }

    // The value; throws `error` if there is none.
    T value() &&
    {
        if (!*this)
            detail::raise(code_, what_);
        return std::move(*value_);
    }

private:
    status code_ = status::ok;
    std::string what_;
    std::optional<T> value_;
};

// The result of a call without a value.
template <> class result<void> {
public:
    result() = default;
    result(status code, std::string what) : code_(code), what_(std::move(what)) {}

    explicit operator bool() const noexcept { return code_ == status::ok; }
    status code() const noexcept { return code_; }
    const std::string &what() const noexcept { return what_; }

    // Throws `error` if the call failed.
    void value() const
    {
        if (!*this)
            detail::raise(code_, what_);
    }

private:
    status code_ = status::ok;
    std::string what_;
};

// ---- Names --------------------------------------------------------------------------------------

// A list of node names that the library returned.
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

// A list of node names as an argument: one name, {"several", "names"}, or a container of names. It
// copies them.
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

    // The names in the form of meshage.h, valid as long as this list.
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

// ---- Reports ------------------------------------------------------------------------------------

// The outcome of a send for one recipient.
struct outcome {
    std::string_view recipient;
    // ok if delivered; no_route, busy, too_large or canceled if certainly not delivered; timeout or
    // lost if unknown.
    status result;

    explicit operator bool() const noexcept { return result == status::ok; }
};

// The outcomes of a send, in the order of the recipients; for a broadcast sorted by name.
class report {
public:
    // The report of a message that was not sent: empty.
    report() noexcept = default;
    explicit report(meshage_report *owned) noexcept : handle_(owned) {}

    std::size_t size() const noexcept { return meshage_report_count(handle_.get()); }
    bool empty() const noexcept { return size() == 0; }
    // The number of recipients to which the message was delivered.
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

// A send that was not delivered to all recipients. The report has the outcome of each.
class send_error : public error {
public:
    send_error(status code, const std::string &what, report report)
        : error(code, what), report_(std::make_shared<meshage::report>(std::move(report)))
    {
    }

    // Empty if the message was not sent.
    const meshage::report &outcomes() const noexcept { return *report_; }

private:
    // Shared, because an exception must be copyable and a report is not.
    std::shared_ptr<const meshage::report> report_;
};

// The result of a send that does not throw: true if the message was delivered to all recipients.
// The report is available in both cases; it is empty if the message was not sent.
class sent {
public:
    sent(status code, std::string what, report report)
        : code_(code), what_(std::move(what)), report_(std::move(report))
    {
    }

    explicit operator bool() const noexcept { return code_ == status::ok; }
    // ok, partial, or the outcome of the only recipient; otherwise why nothing was sent.
    status code() const noexcept { return code_; }
    // A sentence that describes the error; empty on success.
    const std::string &what() const noexcept { return what_; }

    const report &outcomes() const noexcept { return report_; }
    const report &operator*() const noexcept { return report_; }
    const report *operator->() const noexcept { return &report_; }

    // The report; throws `send_error` if the message was not delivered to all recipients.
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

// ---- Options of a send --------------------------------------------------------------------------

// The options of a send: how long it waits, and whether it is retried. A value, which can be copied
// and used for any number of sends. Each option returns the options, so that calls can be chained.
//
//     node.set("worker", job, meshage::send_options().retry().timeout(30s));
class send_options {
public:
    // How long the send waits for the acknowledgements. Default: `usual`.
    send_options &timeout(meshage::timeout time)
    {
        if (time.ms() < MESHAGE_DEFAULT)
            throw error(status::invalid, "the timeout is negative");
        timeout_ = time;
        return *this;
    }
    // Whether the send is retried until its timeout, instead of ending when there is no route or
    // when the route breaks. No node receives a message twice. Default: false.
    send_options &retry(bool retry = true) noexcept
    {
        retry_ = retry;
        return *this;
    }

    // A new handle for the functions of meshage.h.
    detail::handle<meshage_send_options, meshage_send_options_free> handle() const
    {
        detail::handle<meshage_send_options, meshage_send_options_free> options(
            meshage_send_options_create());
        detail::check(meshage_send_options_timeout(options.get(), timeout_.ms()));
        detail::check(meshage_send_options_retry(options.get(), retry_));
        return options;
    }

private:
    meshage::timeout timeout_ = usual;
    bool retry_ = false;
};

// ---- Messages -----------------------------------------------------------------------------------

class message;

// A view of a message, valid as long as the message; in a snoop callback, until that returns.
class message_view {
public:
    explicit message_view(const meshage_message *borrowed) noexcept : borrowed_(borrowed) {}

    // The node that sent the message; "" for a created message.
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
    // The body as text.
    std::string_view text() const noexcept { return body().text(); }
    meshage::encoding encoding() const noexcept
    {
        return meshage::encoding(meshage_message_encoding(borrowed_));
    }
    // The number of the message, and the instance of the node that sent it.
    std::uint64_t id() const noexcept { return meshage_message_id(borrowed_); }
    std::uint64_t instance() const noexcept { return meshage_message_instance(borrowed_); }
    // The recipients; empty for a broadcast.
    std::vector<std::string_view> recipients() const
    {
        std::vector<std::string_view> names(meshage_message_recipient_count(borrowed_));
        for (std::size_t i = 0; i < names.size(); ++i)
            names[i] = detail::view(meshage_message_recipient(borrowed_, i));
        return names;
    }
    // The nodes that sent the message over a link: the source, then each relay.
    std::vector<std::string_view> route() const
    {
        std::vector<std::string_view> names(meshage_message_hop_count(borrowed_));
        for (std::size_t i = 0; i < names.size(); ++i)
            names[i] = detail::view(meshage_message_hop(borrowed_, i));
        return names;
    }
    // A copy to keep, which shares the body.
    message clone() const;

    const meshage_message *handle() const noexcept { return borrowed_; }

protected:
    const meshage_message *borrowed_;
};

// A message: received, or created to be sent.
class message : public message_view {
public:
    // A message to send: a broadcast unless recipients are added. The body is copied.
    explicit message(bytes_view body) : message(meshage_message_create(body.data(), body.size()))
    {
        if (!owned_)
            throw error(status::invalid, detail::last_error_text());
    }
    // Takes ownership of a handle of meshage.h.
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
    // Sets the encoding of the body.
    message &as(meshage::encoding encoding)
    {
        detail::check(
            meshage_message_set_encoding(owned_.get(), static_cast<std::int32_t>(encoding)));
        return *this;
    }

    // Releases the handle, which the caller then owns.
    meshage_message *release() noexcept
    {
        borrowed_ = nullptr;
        return owned_.release();
    }

private:
    detail::handle<meshage_message, meshage_message_free> owned_;
};

inline message message_view::clone() const { return message(meshage_message_clone(borrowed_)); }

// ---- Events -------------------------------------------------------------------------------------

// A change on the mesh.
struct event {
    event_kind kind;
    // The node that the event concerns, or "".
    std::string node;
    // Its instance, or 0.
    std::uint64_t instance;
    // In words why the event happened, or "".
    std::string reason;
    // How the node departed, for event_kind::node_left.
    meshage::departure departure;
    // For event_kind::key_mismatch, the address of the other node, and the ids of the keys that it
    // named: none if it does not encrypt.
    std::string address;
    std::vector<std::string> key_ids;

    explicit event(const meshage_event *borrowed)
        : kind(meshage::event_kind(meshage_event_kind_of(borrowed))),
          node(detail::view(meshage_event_node(borrowed))),
          instance(meshage_event_instance(borrowed)),
          reason(detail::view(meshage_event_reason(borrowed))),
          departure(meshage::departure(meshage_event_departure(borrowed))),
          address(detail::view(meshage_event_address(borrowed)))
    {
        for (std::size_t i = 0; i < meshage_event_key_id_count(borrowed); ++i)
            key_ids.emplace_back(detail::view(meshage_event_key_id(borrowed, i)));
    }
};

// ---- Topology -----------------------------------------------------------------------------------

// A snapshot of the topology: the nodes and the neighbours of each, sorted by name.
class mesh {
public:
    explicit mesh(meshage_mesh *owned) noexcept : handle_(owned) {}

    std::size_t size() const noexcept { return meshage_mesh_count(handle_.get()); }
    std::string_view name(std::size_t i) const noexcept
    {
        return detail::view(meshage_mesh_name(handle_.get(), i));
    }
    // The number of neighbours of node `i`, and their names.
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
    // A copy of the whole topology.
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

// ---- Counters -----------------------------------------------------------------------------------

// A snapshot of a node's counters, sorted by name.
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
    // The value of the named counter; throws if there is none.
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

// ---- Keys ---------------------------------------------------------------------------------------

// A pre-shared key, or a public key. It is not erased by itself.
using key_bytes = std::array<std::uint8_t, 32>;

namespace detail {

// The bytes of a key. Never nullptr, which would be an error of its own.
inline const std::uint8_t *octets(bytes_view bytes) noexcept
{
    const void *data = bytes.data() == nullptr ? "" : static_cast<const void *>(bytes.data());
    return static_cast<const std::uint8_t *>(data);
}

} // namespace detail

// A new random key.
inline key_bytes generate_key()
{
    key_bytes key{};
    detail::check(meshage_key_generate(key.data()));
    return key;
}

// The id of a key, 16 hex digits. The id is public.
inline std::string key_id(bytes_view key)
{
    std::array<char, 17> id{};
    detail::check(meshage_key_id(detail::octets(key), key.size(), id.data()));
    return id.data();
}

// The keys of a running node, from node::keys(). It is valid as long as the node. To change the key
// of a mesh without losing a message: add the new key on every node, use it on every node, then
// remove the old one from every node.
class keys {
public:
    explicit keys(meshage_node *borrowed) noexcept : node_(borrowed) {}

    // The ids of the keys, the primary one first; none for an open node.
    names ids() const
    {
        meshage_names *owned = nullptr;
        detail::check(meshage_node_keys(node_, &owned));
        return names(owned);
    }
    // The number of keys, and whether the key with this id is one of them.
    std::size_t size() const { return ids().size(); }
    bool contains(std::string_view id) const
    {
        for (std::string_view known : ids())
            if (known == id)
                return true;
        return false;
    }
    // The id of the primary key, which opens new links; "" for an open node.
    std::string primary() const { return std::string(ids()[0]); }

    // Adds a key, which is accepted from now on, and returns its id.
    std::string add(bytes_view key) const
    {
        detail::check(meshage_node_key_add(node_, detail::octets(key), key.size()));
        return key_id(key);
    }
    // Makes the key with this id the primary one.
    void use(std::string_view id) const
    {
        detail::check(meshage_node_key_use(node_, detail::terminated(id).c_str()));
    }
    // Removes the key with this id, which must not be the primary one.
    void remove(std::string_view id) const
    {
        detail::check(meshage_node_key_remove(node_, detail::terminated(id).c_str()));
    }
    // Reads the key file again and takes its keys instead of all present ones.
    void reload() const { detail::check(meshage_node_keys_reload(node_)); }

private:
    meshage_node *node_;
};

// ---- Configuration ------------------------------------------------------------------------------

// The configuration of a node. Each option returns the configuration, so that calls can be chained.
class config {
public:
    // The name is 1 to 64 bytes of [A-Za-z0-9._-], unique on the mesh. The constructor of the node
    // checks it.
    explicit config(std::string_view name)
        : handle_(meshage_config_create(detail::terminated(name).c_str()))
    {
        if (!handle_)
            throw error(status::utf8, detail::last_error_text());
    }

    // Nodes discover only nodes of the same namespace.
    config &name_space(std::string_view ns) { return text(meshage_config_namespace, ns); }
    // The number of links that the node looks for.
    config &degree(std::uint32_t degree) { return set(meshage_config_degree, degree); }
    // Adds an address to which solicitations are sent.
    config &broadcast(std::string_view ip) { return text(meshage_config_broadcast, ip); }
    // Adds an interface, by name, to send solicitations on. Without any: all that are up.
    config &interface_name(std::string_view name)
    {
        return text(meshage_config_interface, name);
    }
    // The address to listen on. A link-local one needs its zone: "fe80::1%eth0".
    config &bind(std::string_view ip) { return text(meshage_config_bind, ip); }
    // The port of the mesh, and the TCP port only.
    config &port(std::uint16_t port) { return set(meshage_config_port, port); }
    config &listen_port(std::uint16_t port) { return set(meshage_config_listen_port, port); }
    // The application's version.
    config &version(std::string_view version) { return text(meshage_config_version, version); }
    // The node's own timeout. Calls with the time `usual` use it.
    config &timeout(meshage::timeout time) { return set(meshage_config_timeout, time.ms()); }
    // The interval at which the node compares what it knows of the mesh with its peers.
    config &msa_timeout(meshage::timeout time)
    {
        return set(meshage_config_msa_timeout, time.ms());
    }
    // The capacity of the receive queue, in messages.
    config &receive_buffer(std::size_t messages)
    {
        return set(meshage_config_receive_buffer, messages);
    }
    // The largest body, in bytes.
    config &max_message(std::size_t bytes) { return set(meshage_config_max_message, bytes); }
    // The number of the node's I/O threads.
    config &worker_threads(std::uint32_t threads)
    {
        return set(meshage_config_worker_threads, threads);
    }
    // Adds an address that the node dials until it is linked, and again when the link breaks.
    config &seed_address(std::string_view address)
    {
        return text(meshage_config_seed_address, address);
    }
    // Adds a key, and so closes the mesh: a key_bytes, any 32 bytes, or its text in hex or base64.
    // The first one is the primary key.
    config &key(bytes_view key)
    {
        detail::check(meshage_config_key(handle_.get(), detail::octets(key), key.size()));
        return *this;
    }
    // A file with keys, one a line, which only its owner may have the right to read.
    config &key_file(std::string_view path) { return text(meshage_config_key_file, path); }
    // The files of the node's identity and of its ticket.
    config &identity_file(std::string_view path)
    {
        return text(meshage_config_identity_file, path);
    }
    config &ticket_file(std::string_view path) { return text(meshage_config_ticket_file, path); }
    // The public key of the root, whose tickets are accepted.
    config &root(bytes_view public_key)
    {
        detail::check(
            meshage_config_root(handle_.get(), detail::octets(public_key), public_key.size()));
        return *this;
    }
    // Allows the node with this name and public key to join.
    config &allow(std::string_view name, bytes_view public_key)
    {
        detail::check(meshage_config_allow(handle_.get(), detail::terminated(name).c_str(),
                                           detail::octets(public_key), public_key.size()));
        return *this;
    }
    // Whether announcements are signed, here and by every other node.
    config &signed_announcements(bool on = true) { return set(meshage_config_signed, on); }

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

// ---- Callbacks ----------------------------------------------------------------------------------

namespace detail {

// The functions that the library calls. Each converts its arguments and calls the callable of type
// Function to which `user_data` points.

template <typename Function> struct message_callback {
    static void call(void *user_data, meshage_message *owned) noexcept
    {
        guarded([&] { (*static_cast<Function *>(user_data))(message(owned)); });
    }
};

template <typename Function> struct snoop_callback {
    static void call(void *user_data, const meshage_message *borrowed) noexcept
    {
        guarded([&] { (*static_cast<Function *>(user_data))(message_view(borrowed)); });
    }
};

template <typename Function> struct event_callback {
    static void call(void *user_data, const meshage_event *borrowed) noexcept
    {
        guarded([&] { (*static_cast<Function *>(user_data))(event(borrowed)); });
    }
};

// Called once, and therefore frees the callable.
template <typename Function> struct report_callback {
    static void call(void *user_data, meshage_status code, meshage_report *owned) noexcept
    {
        const std::unique_ptr<Function> function(static_cast<Function *>(user_data));
        guarded([&] {
            report outcomes(owned);
            std::string what;
            if (code != MESHAGE_OK)
                what = meshage_strerror(code);
            (*function)(sent(status(code), std::move(what), std::move(outcomes)));
        });
    }
};

// The state of a `poll`: the caller's function, and the first exception that it threw.
template <typename Function> struct poll_callback {
    Function *function;
    std::exception_ptr thrown;

    static void call(void *user_data, meshage_message *owned) noexcept
    {
        poll_callback &self = *static_cast<poll_callback *>(user_data);
        try {
            (*self.function)(message(owned));
        } catch (...) {
            if (!self.thrown)
                self.thrown = std::current_exception();
        }
    }
};

// Moves `function` into the library, which calls it through Callback and destroys it after its last
// use; nullptr removes the callback. `set` calls the function of meshage.h.
template <template <typename> class Callback, typename Set, typename Function>
void set_callback(Set &&set, Function &&function)
{
    using function_type = std::decay_t<Function>;
    if constexpr (std::is_null_pointer_v<function_type>) {
        check(set(nullptr, nullptr, nullptr));
    } else {
        void *const owned = boxed(std::forward<Function>(function)).release();
        check(set(Callback<function_type>::call, owned, destroy<function_type>));
    }
}

} // namespace detail

// ---- Node ---------------------------------------------------------------------------------------

// The handle of an outstanding send. Destroying it does not cancel the send.
class pending {
public:
    explicit pending(meshage_op *owned) noexcept : handle_(owned) {}

    // Ends the send at once. Its callback is called once.
    void cancel() const noexcept { meshage_op_cancel(handle_.get()); }

private:
    detail::handle<meshage_op, meshage_op_free> handle_;
};

// A participant of the mesh. The destructor closes the node and waits until none of its callbacks
// is running.
class node {
public:
    // Starts a node: when this returns, it listens. It finds its links in the background.
    explicit node(const config &config)
    {
        // Fails to link with a library of a version that is not compatible with this header.
        static_cast<void>(MESHAGE_ABI());
        meshage_node *made = nullptr;
        detail::check(meshage_node_create(config.handle(), &made));
        handle_.reset(made);
    }

    // Starts to close the node and returns at once. All waiting calls return.
    void close() const noexcept { meshage_node_close(get()); }

    std::string_view name() const noexcept { return detail::view(meshage_node_name(get())); }
    // The TCP port that the node listens on.
    std::uint16_t port() const noexcept { return meshage_node_port(get()); }
    // The number of links that the node looks for.
    std::uint32_t degree() const noexcept { return meshage_node_degree(get()); }
    void set_degree(std::uint32_t degree) const
    {
        detail::check(meshage_node_set_degree(get(), degree));
    }
    // The interval at which the node compares what it knows of the mesh with its peers.
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

    // The nodes to which the node has links.
    names peers() const { return query<names>(meshage_node_peers); }
    // The topology as the node knows it, including the node itself.
    meshage::mesh mesh() const { return query<meshage::mesh>(meshage_node_mesh); }
    // The topology in Graphviz's DOT language.
    std::string dot() const
    {
        char *text = nullptr;
        detail::check(meshage_node_dot(get(), &text));
        const detail::handle<char, meshage_string_free> owned(text);
        return std::string(text);
    }
    // The node's counters.
    meshage::stats stats() const { return query<meshage::stats>(meshage_node_stats); }

    // The pre-shared keys.
    meshage::keys keys() const noexcept { return meshage::keys(get()); }
    // The public key of the node's identity; throws for an open node.
    key_bytes public_key() const
    {
        key_bytes key{};
        detail::check(meshage_node_public_key(get(), key.data()));
        return key;
    }
    // Takes a revocation that the root signed, and passes it on to every node.
    void revoke(bytes_view revocation) const
    {
        detail::check(
            meshage_node_revoke(get(), detail::octets(revocation), revocation.size()));
    }

    // Waits until all the named nodes are reachable.
    void wait(const name_list &names, timeout time = usual) const { try_wait(names, time).value(); }
    result<void> try_wait(const name_list &names, timeout time = usual) const
    {
        const auto pointers = names.pointers();
        return result_of(meshage_node_wait(get(), pointers.data(), pointers.size(), time.ms()));
    }

    // Links the node to the node that listens at "host", "host:port" or "[v6]:port".
    void dial(std::string_view address, timeout time = usual) const
    {
        try_dial(address, time).value();
    }
    result<void> try_dial(std::string_view address, timeout time = usual) const
    {
        return result_of(meshage_dial(get(), detail::terminated(address).c_str(), time.ms()));
    }
    // Closes the link to a peer.
    void hangup(std::string_view peer) const { try_hangup(peer).value(); }
    result<void> try_hangup(std::string_view peer) const
    {
        return result_of(meshage_hangup(get(), detail::terminated(peer).c_str()));
    }

    // Sends a body to the named nodes and waits until all have it in their queues. Throws
    // `send_error` if it was not delivered to all of them.
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
        return sent_result(code, owned);
    }
    report set(const name_list &recipients, bytes_view body, const send_options &options) const
    {
        return try_set(recipients, body, options).value();
    }
    sent try_set(const name_list &recipients, bytes_view body, const send_options &options) const
    {
        const auto pointers = recipients.pointers();
        meshage_report *owned = nullptr;
        const meshage_status code =
            meshage_set_with(get(), pointers.data(), pointers.size(), body.data(), body.size(),
                             options.handle().get(), &owned);
        return sent_result(code, owned);
    }
    // Sends a body to all nodes that are reachable now.
    report broadcast(bytes_view body, timeout time = usual) const
    {
        return try_broadcast(body, time).value();
    }
    sent try_broadcast(bytes_view body, timeout time = usual) const
    {
        meshage_report *owned = nullptr;
        const meshage_status code =
            meshage_broadcast(get(), body.data(), body.size(), time.ms(), &owned);
        return sent_result(code, owned);
    }
    report broadcast(bytes_view body, const send_options &options) const
    {
        return try_broadcast(body, options).value();
    }
    sent try_broadcast(bytes_view body, const send_options &options) const
    {
        meshage_report *owned = nullptr;
        const meshage_status code = meshage_broadcast_with(get(), body.data(), body.size(),
                                                           options.handle().get(), &owned);
        return sent_result(code, owned);
    }
    // The nodes to which a broadcast would be sent now.
    names broadcast_recipients() const { return query<names>(meshage_broadcast_recipients); }
    // Sends a message, created or received. A message without recipients is a broadcast.
    report send(const message_view &message, timeout time = usual) const
    {
        return try_send(message, time).value();
    }
    sent try_send(const message_view &message, timeout time = usual) const
    {
        meshage_report *owned = nullptr;
        const meshage_status code = meshage_send(get(), message.handle(), time.ms(), &owned);
        return sent_result(code, owned);
    }
    report send(const message_view &message, const send_options &options) const
    {
        return try_send(message, options).value();
    }
    sent try_send(const message_view &message, const send_options &options) const
    {
        meshage_report *owned = nullptr;
        const meshage_status code =
            meshage_send_with(get(), message.handle(), options.handle().get(), &owned);
        return sent_result(code, owned);
    }
    // Starts to send and returns at once. `done` is called exactly once with a `sent`; if this
    // function throws, it is never called.
    template <typename Done>
    pending send_async(const message_view &message, Done &&done, timeout time = usual) const
    {
        return start_send(
            [&](auto... callback) {
                return meshage_send_async(get(), message.handle(), time.ms(), callback...);
            },
            std::forward<Done>(done));
    }
    template <typename Done>
    pending send_async(const message_view &message, Done &&done, const send_options &options) const
    {
        return start_send(
            [&](auto... callback) {
                return meshage_send_async_with(get(), message.handle(), options.handle().get(),
                                               callback...);
            },
            std::forward<Done>(done));
    }

    // Waits for a message. Throws on timeout, and once the node is closed and its queue is empty. A
    // receive loop is written `while (auto message = node.try_recv(forever))`.
    message recv(timeout time = forever) const { return try_recv(time).value(); }
    result<message> try_recv(timeout time = forever) const
    {
        meshage_message *owned = nullptr;
        const meshage_status code = meshage_recv(get(), time.ms(), &owned);
        if (code != MESHAGE_OK)
            return {status(code), detail::sentence(code)};
        return message(owned);
    }
    // Waits for a message, then calls `take` with it and with up to `max` - 1 further messages that
    // are already in the queue, on this thread. Returns the number of calls. An exception of `take`
    // is rethrown after `take` was called with the other messages; if there are several, the first.
    template <typename Take> std::size_t poll(timeout time, std::size_t max, Take &&take) const
    {
        return try_poll(time, max, take).value();
    }
    template <typename Take>
    result<std::size_t> try_poll(timeout time, std::size_t max, Take &&take) const
    {
        using callback = detail::poll_callback<std::remove_reference_t<Take>>;
        callback state{&take, nullptr};
        std::size_t handled = 0;
        const meshage_status code =
            meshage_poll(get(), time.ms(), max, callback::call, &state, &handled);
        if (state.thrown)
            std::rethrow_exception(state.thrown);
        if (code != MESHAGE_OK)
            return {status(code), detail::sentence(code)};
        return handled;
    }
    // A descriptor for poll(2): readable while a message is in the queue, and once the node is
    // closed.
    int recv_fd() const
    {
        int fd = -1;
        detail::check(meshage_recv_fd(get(), &fd));
        return fd;
    }

    // Calls `take` with every `message`, one at a time, on the node's dispatch thread; nullptr
    // removes the callback.
    template <typename Take> void on_message(Take &&take) const
    {
        detail::set_callback<detail::message_callback>(
            [&](auto... callback) { return meshage_on_message(get(), callback...); },
            std::forward<Take>(take));
    }
    // Calls `look` with a `message_view` of every message that the node forwards and that is not
    // addressed to it; nullptr removes the callback.
    template <typename Look> void on_snoop(Look &&look) const
    {
        detail::set_callback<detail::snoop_callback>(
            [&](auto... callback) { return meshage_on_snoop(get(), callback...); },
            std::forward<Look>(look));
    }
    // Calls `handle_event` with every `event` from now on; nullptr removes the callback. A snapshot
    // that is taken afterwards and the events together miss no change.
    template <typename Handle> void on_event(Handle &&handle_event) const
    {
        detail::set_callback<detail::event_callback>(
            [&](auto... callback) { return meshage_on_event(get(), callback...); },
            std::forward<Handle>(handle_event));
    }

    // Waits for an event. Every event since the creation of the node is returned once, in order. As
    // a node is alone when it is created, they say which nodes are on the mesh.
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

    // The handle, for the functions of meshage.h. This object still owns it.
    meshage_node *handle() const noexcept { return get(); }

private:
    meshage_node *get() const noexcept { return handle_.get(); }

    // Moves `done` into the library. `start` calls the function of meshage.h.
    template <typename Start, typename Done> static pending start_send(Start &&start, Done &&done)
    {
        using function = std::decay_t<Done>;
        auto owned = detail::boxed(std::forward<Done>(done));
        meshage_op *op = nullptr;
        detail::check(start(detail::report_callback<function>::call, owned.get(), &op));
        // The library owns it now, and may have called and destroyed it already.
        static_cast<void>(owned.release());
        return pending(op);
    }

    // Calls a function that returns an object in an out-parameter.
    template <typename Object, typename Handle>
    Object query(meshage_status (*function)(const meshage_node *, Handle **)) const
    {
        Handle *owned = nullptr;
        detail::check(function(get(), &owned));
        return Object(owned);
    }

    static result<void> result_of(meshage_status code)
    {
        if (code == MESHAGE_OK)
            return {};
        return {status(code), detail::sentence(code)};
    }

    static sent sent_result(meshage_status code, meshage_report *owned)
    {
        report outcomes(owned);
        std::string what = code == MESHAGE_OK ? std::string() : detail::sentence(code);
        return {status(code), std::move(what), std::move(outcomes)};
    }

    detail::handle<meshage_node, meshage_node_free> handle_;
};

// ---- Log ----------------------------------------------------------------------------------------

// The levels of the log.
enum class log_level : std::int32_t { none, error, warning, information, debugging, trace };

namespace detail {

template <typename Function> struct log_callback {
    static void call(void *user_data, std::int32_t level, const char *part,
                     const char *text) noexcept
    {
        guarded([&] {
            (*static_cast<Function *>(user_data))(log_level(level), std::string_view(part),
                                                  std::string_view(text));
        });
    }
};

} // namespace detail

// Calls `write(log_level, std::string_view part, std::string_view text)` with every line of the
// library's log up to the level `max`, for all nodes of the process; nullptr removes the callback.
template <typename Write> void on_log(log_level max, Write &&write)
{
    detail::set_callback<detail::log_callback>(
        [&](auto... callback) {
            return meshage_on_log(static_cast<std::int32_t>(max), callback...);
        },
        std::forward<Write>(write));
}

} // namespace meshage

#endif // MESHAGE_HPP
