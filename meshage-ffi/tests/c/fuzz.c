/*
 * Calls in any order, with any arguments that the contract allows: NULL, odd lengths and numbers,
 * bad text. No call crashes, and each returns a status that its comment lists.
 *
 * The bytes of an input decide about the calls. Without arguments the program runs the inputs that
 * once led to a fault, and some from a fixed seed. `seconds N seed S` runs new ones for some time,
 * `replay HEX` one. If something is wrong, the last line is the input.
 */
#include "fuzz_input.h"

#define SLOTS 3
#define NODES_MAX 4
#define SEQUENCES 60
/* No input takes longer, also under AddressSanitizer. */
#define INPUT_SECONDS_MAX 60

/* Inputs that once led to a fault, in hex. */
static const char *const CORPUS[] = {
    "",
    "000000",
};

/* The objects that exist. A call takes one of them, or NULL. */
static meshage_config *configs[SLOTS];
static meshage_node *nodes[SLOTS];
static meshage_message *messages[SLOTS];
static meshage_send_options *options[SLOTS];
static meshage_report *reports[SLOTS];
static meshage_op *ops[SLOTS];
static int nodes_made;

/* What the calls led to, in all inputs: nothing is tested if nothing happens. */
static long created, linked, delivered, received;

/* Callbacks that must be called, and drops. */
static count drops = COUNT_INIT, ended = COUNT_INIT;
static long drops_due, ends_due;

#define INVALID MESHAGE_ERR_INVALID
#define UTF8 MESHAGE_ERR_UTF8
#define CLOSED MESHAGE_ERR_CLOSED
#define STATE MESHAGE_ERR_STATE
#define SEND_ERRORS                                                                                \
    INVALID, UTF8, MESHAGE_ERR_SELF, MESHAGE_ERR_NO_ROUTE, MESHAGE_ERR_TIMEOUT, MESHAGE_ERR_BUSY,  \
        MESHAGE_ERR_LOST, MESHAGE_ERR_PARTIAL, MESHAGE_ERR_TOO_LARGE, CLOSED
#define RECV_ERRORS INVALID, MESHAGE_ERR_TIMEOUT, MESHAGE_ERR_AGAIN, CLOSED

#define SLOT(slots) (&(slots)[below(SLOTS)])

static void on_message(void *user_data, meshage_message *message)
{
    (void)user_data;
    meshage_message_free(message);
}

static void on_snoop(void *user_data, const meshage_message *message)
{
    (void)user_data;
    meshage_message_free(meshage_message_clone(message));
}

static void on_event(void *user_data, const meshage_event *event)
{
    (void)user_data;
    CHECK(meshage_event_node(event) != NULL && meshage_event_reason(event) != NULL);
}

static void on_log(void *user_data, int32_t level, const char *target, const char *line)
{
    (void)user_data;
    CHECK(level >= 1 && level <= 5 && target != NULL && line != NULL);
}

static void on_end(void *user_data, meshage_status status, meshage_report *report)
{
    (void)user_data;
    (void)status;
    meshage_report_free(report);
    count_up(&ended);
}

static void configure(meshage_config *config)
{
    int none = config == NULL;
    const char *name = text();
    size_t len;
    unsigned char *some = bytes(&len);
    int no_bytes = none || some == NULL;
    switch (below(20)) {
    case 0: MAY(none || !name, meshage_config_namespace(config, name), UTF8, INVALID); break;
    case 1: MAY(none, meshage_config_degree(config, (uint32_t)number()), INVALID); break;
    case 2:
        /* Only loopback: no node of this test talks to others. */
        name = below(2) ? "127.255.255.255" : "nonsense";
        MAY(none, meshage_config_broadcast(config, name), INVALID);
        break;
    case 3: MAY(none || !name, meshage_config_interface(config, name), UTF8, INVALID); break;
    case 4: MAY(none || !name, meshage_config_bind(config, name), UTF8, INVALID); break;
    case 5: MAY(none || !name, meshage_config_version(config, name), UTF8, INVALID); break;
    case 6: MAY(none, meshage_config_timeout(config, timeout()), INVALID); break;
    case 7: MAY(none, meshage_config_msa_timeout(config, (int32_t)number()), INVALID); break;
    case 8: MAY(none, meshage_config_receive_buffer(config, (size_t)number()), INVALID); break;
    case 9: MAY(none, meshage_config_max_message(config, (size_t)number()), INVALID); break;
    case 10: MAY(none, meshage_config_worker_threads(config, below(3)), INVALID); break;
    case 11: MAY(none || !name, meshage_config_seed_address(config, name), UTF8, INVALID); break;
    case 12: MAY(no_bytes, meshage_config_key(config, some, len), INVALID); break;
    case 13: MAY(none || !name, meshage_config_key_file(config, name), UTF8, INVALID); break;
    case 14: MAY(none || !name, meshage_config_identity_file(config, name), UTF8); break;
    case 15: MAY(no_bytes, meshage_config_root(config, some, len), INVALID); break;
    case 16: MAY(none || !name, meshage_config_ticket_file(config, name), UTF8); break;
    case 17:
        MAY(no_bytes || !name, meshage_config_allow(config, name, some, len), UTF8, INVALID);
        break;
    case 18: MAY(none, meshage_config_signed(config, below(2) == 1), 1); break;
    default: MAY(none, meshage_config_listen_port(config, 0), 1); break;
    }
    free(some);
}

/* Two nodes with a link, so that messages arrive. */
static void make_pair(void)
{
    static const char *const names[] = {"a", "b"};
    size_t i;
    for (i = 0; i < COUNT(names); i++) {
        configs[i] = meshage_config_create(names[i]);
        OK(meshage_config_bind(configs[i], "127.0.0.1"));
        OK(meshage_config_port(configs[i], 0));
        OK(meshage_config_timeout(configs[i], 20));
        OK(meshage_config_receive_buffer(configs[i], below(2) ? 1 : 64));
        OK(meshage_config_max_message(configs[i], 65536));
        OK(meshage_node_create(configs[i], &nodes[i]));
        created++;
    }
    join(nodes[0], nodes[1]);
    linked++;
}

static void make(void)
{
    meshage_config **config = SLOT(configs);
    meshage_node **node = SLOT(nodes);
    const char *name = text();
    if (*config == NULL || below(4) == 0) {
        meshage_config_free(*config);
        *config = meshage_config_create(name);
        CHECK((*config == NULL) == (meshage_last_error()[0] != '\0'));
        if (*config != NULL) {
            OK(meshage_config_bind(*config, "127.0.0.1"));
            OK(meshage_config_broadcast(*config, "127.255.255.255"));
            OK(meshage_config_timeout(*config, 20));
        }
    }
    if (*node != NULL || nodes_made >= NODES_MAX || below(4) == 0)
        return;
    nodes_made++;
    if (*config != NULL) {
        OK(meshage_config_port(*config, 0));
        OK(meshage_config_listen_port(*config, 0));
    }
    MAY(*config == NULL, meshage_node_create(*config, node), INVALID, MESHAGE_ERR_ADDR_IN_USE,
        MESHAGE_ERR_IO);
    created += *node != NULL;
    if (meshage_last_error()[0] != '\0' && *node != NULL)
        WRONG("a node in spite of an error");
}

static void read_node(meshage_node *node)
{
    meshage_names *names = (meshage_names *)1;
    meshage_mesh *mesh = (meshage_mesh *)1;
    meshage_stats *stats = (meshage_stats *)1;
    char *dot = (char *)1;
    uint64_t value = 7;
    int fd = 7, none = node == NULL;
    size_t at = (size_t)number();
    const char *name = text();
    MAY(none, meshage_node_peers(node, &names), 1);
    CHECK(none == (names == NULL));
    (void)meshage_names_get(names, at);
    meshage_names_free(names);
    MAY(none, meshage_broadcast_recipients(node, &names), 1);
    meshage_names_free(names);
    MAY(none, meshage_node_keys(node, &names), 1);
    meshage_names_free(names);
    MAY(none, meshage_node_mesh(node, &mesh), 1);
    (void)meshage_mesh_name(mesh, at);
    (void)meshage_mesh_neighbor(mesh, below(3), at);
    CHECK(meshage_mesh_degree(mesh, SIZE_MAX) == 0);
    meshage_mesh_free(mesh);
    MAY(none, meshage_node_dot(node, &dot), 1);
    meshage_string_free(dot);
    MAY(none, meshage_node_stats(node, &stats), 1);
    MAY(none || !name, meshage_stats_get(stats, name, &value), UTF8, MESHAGE_ERR_NOT_FOUND);
    (void)meshage_stats_name(stats, at);
    (void)meshage_stats_value(stats, at);
    meshage_stats_free(stats);
    MAY(none, meshage_recv_fd(node, &fd), MESHAGE_ERR_IO);
    CHECK(none == (meshage_node_name(node) == NULL));
    MAY(1, meshage_node_peers(node, NULL), MESHAGE_ERR_NULL);
    MAY(1, meshage_recv(node, 0, NULL), MESHAGE_ERR_NULL, RECV_ERRORS, STATE);
}

static void change_node(meshage_node *node)
{
    int none = node == NULL;
    const char *name = text();
    char address[32], id[17];
    size_t len;
    unsigned char *some = bytes(&len), public_key[32];
    int no_bytes = none || some == NULL;
    meshage_status status;
    switch (below(16)) {
    case 0: MAY(none, meshage_node_set_degree(node, (uint32_t)number()), INVALID); break;
    case 1: MAY(none, meshage_node_set_msa_timeout(node, (int32_t)number()), INVALID); break;
    case 2: MAY(none, meshage_node_msa(node), 1); break;
    case 3:
        MAY(none || !name, meshage_node_wait(node, &name, 1, timeout()), UTF8, RECV_ERRORS);
        break;
    case 4:
        MAY(none || !name, meshage_hangup(node, name), UTF8, INVALID, MESHAGE_ERR_NOT_FOUND, CLOSED);
        break;
    case 5: MAY(no_bytes, meshage_node_key_add(node, some, len), INVALID, STATE, CLOSED); break;
    case 6:
        MAY(none || !name, meshage_node_key_use(node, name), UTF8, INVALID, MESHAGE_ERR_NOT_FOUND,
            STATE, CLOSED);
        break;
    case 7:
        MAY(none || !name, meshage_node_key_remove(node, name), UTF8, INVALID,
            MESHAGE_ERR_NOT_FOUND, STATE, CLOSED);
        break;
    case 8: MAY(none, meshage_node_keys_reload(node), INVALID, STATE, CLOSED); break;
    case 9: MAY(none, meshage_node_public_key(node, public_key), STATE); break;
    case 10: MAY(no_bytes, meshage_node_revoke(node, some, len), INVALID, STATE, CLOSED); break;
    case 11: MAY(some == NULL, meshage_key_id(some, len, id), INVALID); break;
    case 12:
        if (below(4) == 0)
            meshage_node_close(node);
        break;
    default:
        snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)meshage_node_port(*SLOT(nodes)));
        name = below(8) ? address : name;
        status = MAY(none || !name, meshage_dial(node, name, below(4) ? 100 : timeout()), UTF8,
                     INVALID, MESHAGE_ERR_REFUSED, MESHAGE_ERR_TIMEOUT, MESHAGE_ERR_AGAIN,
                     MESHAGE_ERR_SELF, MESHAGE_ERR_EXISTS, MESHAGE_ERR_AUTH, MESHAGE_ERR_PROTOCOL,
                     MESHAGE_ERR_IO, CLOSED);
        linked += status == MESHAGE_OK;
        break;
    }
    free(some);
}

static void change_message(void)
{
    meshage_message **message = SLOT(messages);
    const char *name = text();
    size_t len, at = (size_t)number();
    unsigned char *some = bytes(&len);
    int none = *message == NULL;
    if (none || below(8) == 0) {
        meshage_message_free(*message);
        *message = meshage_message_create(some, len);
        CHECK((*message == NULL) == (some == NULL && len > 0));
    } else if (below(2)) {
        MAY(!name, meshage_message_add_recipient(*message, name), UTF8, INVALID, STATE);
    } else {
        MAY(0, meshage_message_set_encoding(*message, (int32_t)number()), INVALID, STATE);
    }
    free(some);
    none = *message == NULL;
    CHECK(none == (meshage_message_source(*message) == NULL));
    CHECK(none == (meshage_message_body(*message, &len) == NULL));
    (void)meshage_message_recipient(*message, at);
    (void)meshage_message_hop(*message, at);
}

/* Mostly the name of a node. */
static const char *recipient(void)
{
    static const char *const names[] = {"a", "b"};
    return below(4) ? PICK(names) : text();
}

static void send_something(meshage_node *node)
{
    meshage_send_options **option = SLOT(options);
    meshage_message *message = *SLOT(messages);
    meshage_report **report = SLOT(reports);
    meshage_op **op = SLOT(ops);
    const char *names[3] = {recipient(), recipient(), recipient()};
    size_t len, count = below(4), i;
    unsigned char *some = bytes(&len);
    int none = node == NULL, bad_body = some == NULL && len > 0, no_name = 0;
    meshage_status status;
    for (i = 0; i < count; i++)
        no_name |= names[i] == NULL;
    meshage_report_free(*report);
    *report = (meshage_report *)1;
    switch (below(8)) {
    case 0:
        if (*option == NULL)
            *option = meshage_send_options_create();
        MAY(0, meshage_send_options_timeout(*option, timeout()), INVALID);
        MAY(0, meshage_send_options_retry(*option, below(2) == 1), 1);
        *report = NULL;
        break;
    case 1:
    case 2:
        MAY(none || bad_body || no_name,
            meshage_set(node, names, count, some, len, timeout(), report), SEND_ERRORS);
        break;
    case 3:
        /* Without options, and without a report. */
        *report = NULL;
        MAY(none || bad_body || no_name, meshage_set_with(node, names, count, some, len, *option, NULL),
            SEND_ERRORS);
        break;
    case 4:
        MAY(none || bad_body, meshage_broadcast(node, some, len, timeout(), report), SEND_ERRORS);
        break;
    case 5:
        MAY(none || !message, meshage_send_with(node, message, *option, report), SEND_ERRORS);
        break;
    default:
        meshage_op_free(*op);
        *op = (meshage_op *)1;
        *report = NULL;
        status = MAY(none || !message,
                     meshage_send_async(node, message, timeout(), on_end, NULL, op), INVALID,
                     MESHAGE_ERR_SELF, MESHAGE_ERR_TOO_LARGE, MESHAGE_ERR_AGAIN, CLOSED);
        ends_due += status == MESHAGE_OK;
        CHECK((status == MESHAGE_OK) == (*op != NULL));
        if (below(4) == 0)
            meshage_op_cancel(*op);
        break;
    }
    free(some);
    CHECK(*report != (meshage_report *)1);
    (void)meshage_report_recipient(*report, (size_t)number());
    (void)meshage_report_status(*report, (size_t)number());
    delivered += (long)meshage_report_delivered(*report);
    CHECK(meshage_report_delivered(*report) <= meshage_report_count(*report));
}

static void receive_something(meshage_node *node)
{
    meshage_message *message = (meshage_message *)1, **slot = SLOT(messages);
    meshage_event *event = (meshage_event *)1;
    int none = node == NULL, with_callback = below(2) == 1;
    size_t handled = 7;
    meshage_drop_cb drop = below(4) ? count_drop : NULL;
    int dropped = drop != NULL;
    switch (below(8)) {
    case 0:
    case 1:
        MAY(none, meshage_recv(node, timeout(), &message), RECV_ERRORS, STATE);
        received += message != NULL;
        if (*slot == NULL)
            *slot = message;
        else
            meshage_message_free(message);
        break;
    case 2:
        MAY(none, meshage_poll(node, timeout(), below(3), on_message, NULL, &handled), RECV_ERRORS,
            STATE);
        CHECK(handled <= 2);
        break;
    case 3:
    case 4:
        MAY(none, meshage_next_event(node, timeout(), &event), RECV_ERRORS);
        (void)meshage_event_key_id(event, (size_t)number());
        CHECK((event == NULL) == (meshage_event_address(event) == NULL));
        meshage_event_free(event);
        break;
    case 5:
        drops_due += dropped;
        MAY(none, meshage_on_message(node, with_callback ? on_message : NULL, &drops, drop), CLOSED,
            MESHAGE_ERR_IO);
        break;
    case 6:
        drops_due += dropped;
        MAY(none, meshage_on_snoop(node, with_callback ? on_snoop : NULL, &drops, drop), CLOSED,
            MESHAGE_ERR_IO);
        break;
    default:
        drops_due += dropped;
        MAY(none, meshage_on_event(node, with_callback ? on_event : NULL, &drops, drop), CLOSED,
            MESHAGE_ERR_IO);
        break;
    }
}

static void others(void)
{
    meshage_node **node = SLOT(nodes);
    char *copy = NULL;
    size_t cap = below(8);
    switch (below(4)) {
    case 0:
        if (below(2)) {
            meshage_node_free(*node);
            *node = NULL;
        }
        break;
    case 1:
        drops_due++;
        MAY(0, meshage_on_log((int32_t)below(8) - 1, below(2) ? on_log : NULL, &drops, count_drop),
            INVALID, MESHAGE_ERR_IO);
        break;
    case 2:
        CHECK(meshage_strerror((int32_t)number()) != NULL);
        copy = malloc(cap);
        (void)meshage_last_error_copy(cap ? copy : NULL, cap);
        free(copy);
        break;
    default: {
        meshage_message **to = SLOT(messages), *clone = meshage_message_clone(*SLOT(messages));
        meshage_message_free(*to);
        *to = clone;
        break;
    }
    }
}

#define FREE_ALL(slots, free_one)                                                                  \
    for (i = 0; i < SLOTS; i++) {                                                                  \
        free_one((slots)[i]);                                                                      \
        (slots)[i] = NULL;                                                                         \
    }

/* Runs the input, and then frees everything: then all callbacks have been called. */
static void run(void)
{
    size_t i;
    for (i = 0; i < input_len; i++)
        snprintf(input_hex + 7 + 2 * i, 3, "%02x", input[i]);
    memcpy(input_hex, "input: ", 7);
    snprintf(input_hex + 7 + 2 * input_len, 2, "\n");
    alarm(INPUT_SECONDS_MAX);
    input_at = 0;
    nodes_made = 0;
    if (below(4))
        make_pair();
    while (input_at < input_len) {
        meshage_node *node;
        unsigned call = below(16);
        /* Mostly one of the two that are linked. */
        node = below(4) ? nodes[below(2)] : *SLOT(nodes);
        if (call < 3)
            make();
        else if (call == 3)
            configure(*SLOT(configs));
        else if (call == 4)
            read_node(node);
        else if (call < 8)
            change_node(node);
        else if (call == 8)
            change_message();
        else if (call < 12)
            send_something(node);
        else if (call < 15)
            receive_something(node);
        else
            others();
    }
    FREE_ALL(ops, meshage_op_free)
    FREE_ALL(nodes, meshage_node_free)
    FREE_ALL(configs, meshage_config_free)
    FREE_ALL(messages, meshage_message_free)
    FREE_ALL(options, meshage_send_options_free)
    FREE_ALL(reports, meshage_report_free)
    OK(meshage_on_log(0, NULL, NULL, NULL));
    count_reaches(&drops, drops_due);
    count_reaches(&ended, ends_due);
    CHECK(count_now(&drops) == drops_due && count_now(&ended) == ends_due);
}

static void run_hex(const char *hex)
{
    unsigned value;
    for (input_len = 0; input_len < INPUT_BYTES_MAX && hex[0] && hex[1]; hex += 2) {
        CHECK(sscanf(hex, "%2x", &value) == 1);
        input[input_len++] = (unsigned char)value;
    }
    run();
}

/* A pseudo-random input (xorshift). */
static void run_random(uint64_t *state)
{
    size_t i;
    for (i = 0; i < INPUT_BYTES_MAX; i++) {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        input[i] = (unsigned char)(*state >> 32);
    }
    input_len = 16 + input[0] % (INPUT_BYTES_MAX - 16);
    run();
}

static long seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (long)now.tv_sec;
}

static void tell_results(void)
{
    printf("%ld nodes, %ld links, %ld deliveries, %ld messages received\n", created, linked,
           delivered, received);
    fflush(stdout);
}

static void run_for(long seconds, uint64_t state)
{
    long started = seconds_now(), printed = started, runs = 0;
    while (seconds_now() - started < seconds) {
        run_random(&state);
        runs++;
        if (seconds_now() - printed >= 10 || seconds_now() - started >= seconds) {
            printed = seconds_now();
            printf("ffi          %9.1f inputs/s, %ld in all: ",
                   (double)runs / (double)(printed - started + 1), runs);
            tell_results();
        }
    }
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGALRM};
    uint64_t state = 20261128;
    size_t i;
    for (i = 0; i < COUNT(signals); i++)
        if (signals[i] == SIGALRM || !__asan_set_death_callback)
            signal(signals[i], on_signal);
    if (__asan_set_death_callback)
        __asan_set_death_callback(tell_input);
    if (argc == 3 && strcmp(argv[1], "replay") == 0) {
        run_hex(argv[2]);
    } else if (argc == 5 && strcmp(argv[1], "seconds") == 0 && strcmp(argv[3], "seed") == 0) {
        run_for(atol(argv[2]), state + 2 * strtoull(argv[4], NULL, 10));
    } else {
        for (i = 0; i < COUNT(CORPUS); i++)
            run_hex(CORPUS[i]);
        for (i = 0; i < SEQUENCES; i++)
            run_random(&state);
        tell_results();
        CHECK(created > 0 && linked > 0 && delivered > 0 && received > 0);
    }
    return 0;
}
