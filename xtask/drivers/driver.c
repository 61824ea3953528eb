/* A node that executes commands, in C. meshage/examples/driver.rs describes the commands. */
#define _POSIX_C_SOURCE 200809L
#include <meshage.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 8
#define LABEL_MAX 64
/* The sends that can be cancelled: the last ones. */
#define OPS_MAX 64

static meshage_node *node;
static uint32_t crc_table[256];

/* The thread that prints a line holds the lock of the stream meanwhile. */
static void begin_line(const char *token)
{
    flockfile(stdout);
    if (token != NULL)
        printf("%s ", token);
}

static void end_line(void)
{
    putchar('\n');
    if (fflush(stdout) != 0)
        _Exit(0);
    funlockfile(stdout);
}

static const char *word_of(meshage_status status)
{
    switch (status) {
    case MESHAGE_OK: return "delivered";
    case MESHAGE_ERR_NULL: return "null";
    case MESHAGE_ERR_INVALID: return "invalid";
    case MESHAGE_ERR_UTF8: return "invalid";
    case MESHAGE_ERR_TIMEOUT: return "timeout";
    case MESHAGE_ERR_AGAIN: return "again";
    case MESHAGE_ERR_CLOSED: return "closed";
    case MESHAGE_ERR_CANCELED: return "canceled";
    case MESHAGE_ERR_PARTIAL: return "partial";
    case MESHAGE_ERR_NO_ROUTE: return "no-route";
    case MESHAGE_ERR_NOT_FOUND: return "not-found";
    case MESHAGE_ERR_EXISTS: return "exists";
    case MESHAGE_ERR_SELF: return "self";
    case MESHAGE_ERR_IO: return "io";
    case MESHAGE_ERR_ADDR_IN_USE: return "addr-in-use";
    case MESHAGE_ERR_REFUSED: return "refused";
    case MESHAGE_ERR_AUTH: return "auth";
    case MESHAGE_ERR_PROTOCOL: return "protocol";
    case MESHAGE_ERR_TOO_LARGE: return "too-large";
    case MESHAGE_ERR_BUSY: return "busy";
    case MESHAGE_ERR_STATE: return "state";
    case MESHAGE_ERR_FORKED: return "forked";
    case MESHAGE_ERR_UNSUPPORTED: return "unsupported";
    case MESHAGE_ERR_LOST: return "lost";
    case MESHAGE_ERR_PANIC: return "panic";
    }
    return "unknown";
}

static void print_status(const char *token, meshage_status status)
{
    begin_line(token);
    if (status == MESHAGE_OK)
        printf("ok");
    else
        printf("error %s", word_of(status));
    end_line();
}

static void start_crc(void)
{
    uint32_t i, value;
    int bit;
    for (i = 0; i < 256; i++) {
        value = i;
        for (bit = 0; bit < 8; bit++)
            value = value & 1 ? 0xedb88320u ^ (value >> 1) : value >> 1;
        crc_table[i] = value;
    }
}

static uint32_t crc32(const unsigned char *bytes, size_t len)
{
    uint32_t crc = 0xffffffffu;
    size_t i;
    for (i = 0; i < len; i++)
        crc = crc_table[(crc ^ bytes[i]) & 0xff] ^ (crc >> 8);
    return ~crc;
}

/* Prints names with commas between, or "-" if there are none. */
static void print_names(const meshage_message *message, size_t count,
                        const char *(*name)(const meshage_message *, size_t))
{
    size_t i;
    for (i = 0; i < count; i++)
        printf("%s%s", i == 0 ? "" : ",", name(message, i));
    printf(count == 0 ? "- " : " ");
}

static void print_message(const char *token, const meshage_message *message)
{
    size_t len, label = 0;
    const unsigned char *body = meshage_message_body(message, &len);
    uint32_t crc = crc32(body, len);
    while (label < len && label < LABEL_MAX && body[label] != '\n')
        label++;
    begin_line(token);
    printf("got %s ", meshage_message_source(message));
    print_names(message, meshage_message_recipient_count(message), meshage_message_recipient);
    print_names(message, meshage_message_hop_count(message), meshage_message_hop);
    printf("%zu %08lx ", len, (unsigned long)crc);
    if (label == 0)
        putchar('-');
    fwrite(body, 1, label, stdout);
    end_line();
}

static void listened(void *unused, meshage_message *message)
{
    (void)unused;
    print_message(NULL, message);
    meshage_message_free(message);
}

/* The body with a label and a length. */
static unsigned char *make_body(const char *label, size_t len)
{
    size_t line = strlen(label) + 1, i;
    unsigned char *body = malloc(len + 1);
    for (i = 0; i < len; i++) {
        if (i >= line)
            body[i] = body[i - line];
        else
            body[i] = (unsigned char)(i == line - 1 ? '\n' : label[i]);
    }
    return body;
}

static int32_t time_of(const char *word)
{
    if (strcmp(word, "default") == 0)
        return MESHAGE_DEFAULT;
    if (strcmp(word, "forever") == 0)
        return MESHAGE_INFINITE;
    return (int32_t)atol(word);
}

/* ---- Sends: started in order, ended by a callback ------------------------------------------ */

static struct {
    char *token;
    meshage_op *op;
} ops[OPS_MAX];
static size_t next_op;

static void sent(void *user_data, meshage_status status, meshage_report *report)
{
    char *token = user_data;
    size_t i;
    if (report == NULL) {
        print_status(token, status);
    } else {
        begin_line(token);
        printf("sent");
        for (i = 0; i < meshage_report_count(report); i++)
            printf(" %s=%s", meshage_report_recipient(report, i),
                   word_of(meshage_report_status(report, i)));
        end_line();
        meshage_report_free(report);
    }
    free(token);
}

static void keep_op(const char *token, meshage_op *op)
{
    free(ops[next_op].token);
    meshage_op_free(ops[next_op].op);
    ops[next_op].token = strdup(token);
    ops[next_op].op = op;
    next_op = (next_op + 1) % OPS_MAX;
}

/* Sends to names, or broadcasts if `names` is NULL. */
static void send_message(const char *token, char *names, const char *label, const char *length,
                         const char *timeout)
{
    size_t len = strtoul(length, NULL, 10);
    unsigned char *body = make_body(label, len);
    meshage_message *message = meshage_message_create(body, len);
    meshage_status status = message == NULL ? MESHAGE_ERR_INVALID : MESHAGE_OK;
    meshage_op *op = NULL;
    char *copy = strdup(token);
    char *rest = names, *name;
    while (rest != NULL && status == MESHAGE_OK && (name = strtok_r(rest, ",", &rest)) != NULL)
        status = meshage_message_add_recipient(message, name);
    if (status == MESHAGE_OK)
        status = meshage_send_async(node, message, time_of(timeout), sent, copy, &op);
    if (status == MESHAGE_OK) {
        keep_op(token, op);
    } else {
        print_status(token, status);
        free(copy);
    }
    meshage_message_free(message);
    free(body);
}

/* Sends to nobody: only the call that waits accepts an empty list. */
static void send_to_none(const char *token)
{
    print_status(token, meshage_set(node, NULL, 0, "", 0, MESHAGE_DEFAULT, NULL));
}

static void cancel(const char *token)
{
    size_t i;
    for (i = 0; i < OPS_MAX; i++) {
        if (ops[i].token != NULL && strcmp(ops[i].token, token) == 0)
            meshage_op_cancel(ops[i].op);
    }
}

/* ---- Commands that wait: each on a thread of its own ----------------------------------------- */

struct call {
    char *line;
    char *words[WORDS_MAX];
    struct call *next;
    pthread_t thread;
};
static struct call *calls;

static void print_event(const char *token, const meshage_event *event)
{
    static const char *const kinds[] = {"unknown", "link-up", "link-down", "node-joined",
        "node-left", "topology", "name-conflict", "overflow", "discovery-failed", "key-mismatch",
        "revoked"};
    int32_t kind = meshage_event_kind_of(event);
    int32_t departure = meshage_event_departure(event);
    begin_line(token);
    printf("event %s", kinds[kind]);
    if (kind <= MESHAGE_EVENT_NODE_LEFT)
        printf(" %s", meshage_event_node(event));
    if (departure != MESHAGE_DEPARTURE_NONE)
        printf(" %s", departure == MESHAGE_DEPARTURE_LEFT ? "left" : "failed");
    end_line();
}

static void wait_for(const char *token, char *list, const char *timeout)
{
    const char *names[64];
    size_t count = 0;
    char *rest = list, *name;
    while (count < 64 && (name = strtok_r(rest, ",", &rest)) != NULL)
        names[count++] = name;
    print_status(token, meshage_node_wait(node, names, count, time_of(timeout)));
}

static void *run_call(void *argument)
{
    struct call *call = argument;
    char **words = call->words;
    const char *token = words[0];
    meshage_status status;
    if (strcmp(words[1], "dial") == 0) {
        status = meshage_dial(node, words[2], time_of(words[3]));
        switch (status) {
        case MESHAGE_OK:
        case MESHAGE_ERR_INVALID:
        case MESHAGE_ERR_TIMEOUT:
        case MESHAGE_ERR_PROTOCOL:
        case MESHAGE_ERR_AUTH:
        case MESHAGE_ERR_CLOSED:
            print_status(token, status);
            break;
        default: /* Not every language tells the others apart. */
            begin_line(token);
            printf("error failed");
            end_line();
        }
    } else if (strcmp(words[1], "wait") == 0) {
        wait_for(token, words[2], words[3]);
    } else if (strcmp(words[1], "recv") == 0) {
        meshage_message *message = NULL;
        status = meshage_recv(node, time_of(words[2]), &message);
        if (status == MESHAGE_OK)
            print_message(token, message);
        else
            print_status(token, status);
        meshage_message_free(message);
    } else if (strcmp(words[1], "event") == 0) {
        meshage_event *event = NULL;
        status = meshage_next_event(node, time_of(words[2]), &event);
        if (status == MESHAGE_OK)
            print_event(token, event);
        else
            print_status(token, status);
        meshage_event_free(event);
    } else {
        begin_line(token);
        printf("error unknown-command");
        end_line();
    }
    return NULL;
}

/* Starts a call. Takes the line, which the words point into. */
static void start_call(char *line, char **words)
{
    struct call *call = calloc(1, sizeof *call);
    call->line = line;
    memcpy(call->words, words, sizeof call->words);
    call->next = calls;
    calls = call;
    if (pthread_create(&call->thread, NULL, run_call, call) != 0)
        abort();
}

static void join_calls(void)
{
    while (calls != NULL) {
        struct call *call = calls;
        calls = call->next;
        pthread_join(call->thread, NULL);
        free(call->line);
        free(call);
    }
}

/* ---- Commands that answer at once ------------------------------------------------------------ */

static void print_peers(const char *token)
{
    meshage_names *names = NULL;
    size_t i;
    meshage_node_peers(node, &names);
    begin_line(token);
    printf("peers ");
    for (i = 0; i < meshage_names_count(names); i++)
        printf("%s%s", i == 0 ? "" : ",", meshage_names_get(names, i));
    if (meshage_names_count(names) == 0)
        putchar('-');
    end_line();
    meshage_names_free(names);
}

static void print_mesh(const char *token)
{
    meshage_mesh *mesh = NULL;
    size_t i, j;
    meshage_node_mesh(node, &mesh);
    begin_line(token);
    printf("mesh");
    for (i = 0; i < meshage_mesh_count(mesh); i++) {
        printf(" %s:", meshage_mesh_name(mesh, i));
        for (j = 0; j < meshage_mesh_degree(mesh, i); j++)
            printf("%s%s", j == 0 ? "" : ",", meshage_mesh_neighbor(mesh, i, j));
    }
    end_line();
    meshage_mesh_free(mesh);
}

/* Executes one line. Returns 0 for `quit`. */
static int execute(const char *text)
{
    char *line = strdup(text);
    char *words[WORDS_MAX] = {"", "", "", "", "", "", "", ""};
    char *rest = line, *word;
    const char *command;
    size_t count = 0;
    while (count < WORDS_MAX && (word = strtok_r(rest, " \n", &rest)) != NULL)
        words[count++] = word;
    command = words[1];
    if (strcmp(words[0], "quit") == 0) {
        free(line);
        return 0;
    }
    if (strcmp(command, "set") == 0 && strcmp(words[2], "-") == 0)
        send_to_none(words[0]);
    else if (strcmp(command, "set") == 0)
        send_message(words[0], words[2], words[3], words[4], words[5]);
    else if (strcmp(command, "broadcast") == 0)
        send_message(words[0], NULL, words[2], words[3], words[4]);
    else if (strcmp(command, "cancel") == 0) {
        cancel(words[2]);
        print_status(words[0], MESHAGE_OK);
    } else if (strcmp(command, "hangup") == 0)
        print_status(words[0], meshage_hangup(node, words[2]));
    else if (strcmp(command, "listen") == 0)
        print_status(words[0], meshage_on_message(node, listened, NULL, NULL));
    else if (strcmp(command, "peers") == 0)
        print_peers(words[0]);
    else if (strcmp(command, "mesh") == 0)
        print_mesh(words[0]);
    else if (strcmp(command, "close") == 0) {
        meshage_node_close(node);
        print_status(words[0], MESHAGE_OK);
    } else {
        start_call(line, words);
        return 1;
    }
    free(line);
    return 1;
}

static meshage_status set_option(meshage_config *config, const char *name, const char *value)
{
    if (strcmp(name, "namespace") == 0)
        return meshage_config_namespace(config, value);
    if (strcmp(name, "degree") == 0)
        return meshage_config_degree(config, (uint32_t)atoi(value));
    if (strcmp(name, "broadcast") == 0)
        return meshage_config_broadcast(config, value);
    if (strcmp(name, "bind") == 0)
        return meshage_config_bind(config, value);
    if (strcmp(name, "port") == 0)
        return meshage_config_port(config, (uint16_t)atoi(value));
    if (strcmp(name, "listen") == 0)
        return meshage_config_listen_port(config, (uint16_t)atoi(value));
    if (strcmp(name, "seed") == 0)
        return meshage_config_seed_address(config, value);
    if (strcmp(name, "max_message") == 0)
        return meshage_config_max_message(config, strtoul(value, NULL, 10));
    if (strcmp(name, "receive_buffer") == 0)
        return meshage_config_receive_buffer(config, strtoul(value, NULL, 10));
    if (strcmp(name, "timeout") == 0)
        return meshage_config_timeout(config, atoi(value));
    if (strcmp(name, "key_file") == 0)
        return meshage_config_key_file(config, value);
    fprintf(stderr, "driver: unknown option %s\n", name);
    exit(2);
}

static meshage_status start(int argc, char **argv)
{
    meshage_config *config = meshage_config_create(argv[1]);
    meshage_status status = config == NULL ? MESHAGE_ERR_INVALID : MESHAGE_OK;
    int i;
    for (i = 2; i < argc && status == MESHAGE_OK; i++) {
        char *value = strchr(argv[i], '=');
        if (value == NULL)
            exit(2);
        *value = '\0';
        status = set_option(config, argv[i], value + 1);
    }
    if (status == MESHAGE_OK)
        status = meshage_node_create(config, &node);
    meshage_config_free(config);
    return status;
}

int main(int argc, char **argv)
{
    char *line = NULL;
    size_t size = 0;
    meshage_status status;
    if (argc < 2) {
        fprintf(stderr, "usage: driver NAME [OPTION=VALUE ...]\n");
        return 2;
    }
    start_crc();
    status = start(argc, argv);
    if (status != MESHAGE_OK) {
        printf("failed %s\n", word_of(status));
        return 0;
    }
    begin_line("ready");
    printf("%u", (unsigned)meshage_node_port(node));
    end_line();
    while (getline(&line, &size, stdin) > 0 && execute(line))
        continue;
    free(line);
    meshage_node_close(node);
    join_calls();
    meshage_node_free(node);
    for (next_op = 0; next_op < OPS_MAX; next_op++) {
        free(ops[next_op].token);
        meshage_op_free(ops[next_op].op);
    }
    return 0;
}
