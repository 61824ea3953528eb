/* Calls into the library that return all of their results at once. */

#include "shim.h"
#include "shim_text.h"

/* Requires the library version that this package was written for: with another version the linker
 * reports this symbol as missing. */
uint32_t mg_abi(void)
{
    return meshage_abi_0_1();
}

/* The most recipients whose pointers are kept on the stack. More are kept on the heap. */
#define STACK_NAMES_MAX 16

/* Pointers to names that are stored one after the other. */
typedef struct pointers {
    const char *on_stack[STACK_NAMES_MAX];
    const char **all;
} pointers;

static void pointers_init(pointers *pointers, const char *names, size_t count)
{
    pointers->all = pointers->on_stack;
    if (count > STACK_NAMES_MAX)
        pointers->all = mg_realloc(NULL, count * sizeof *pointers->all);
    for (size_t i = 0; i < count; i++) {
        pointers->all[i] = names;
        names += strlen(names) + 1;
    }
}

static void pointers_free(pointers *pointers)
{
    if (pointers->all != pointers->on_stack)
        free(pointers->all);
}

/* The error text of this thread's last call. The next call may run on another thread. */
static char *error_text(meshage_status status)
{
    if (status == MESHAGE_OK)
        return NULL;
    const char *text = meshage_last_error();
    return mg_strdup(text[0] != '\0' ? text : meshage_strerror(status));
}

mg_result mg_result_of(meshage_status status)
{
    return (mg_result){.status = status, .error = error_text(status)};
}

/* Creates a message with its recipients. The status reports an invalid name. */
static meshage_message *make_message(const char *names, size_t count, const void *body, size_t len,
                                     int32_t encoding, meshage_status *status)
{
    meshage_message *message = meshage_message_create(body, len);
    *status = message == NULL ? MESHAGE_ERR_TOO_LARGE : MESHAGE_OK;
    for (size_t i = 0; i < count && *status == MESHAGE_OK; i++) {
        *status = meshage_message_add_recipient(message, names);
        names += strlen(names) + 1;
    }
    if (*status == MESHAGE_OK)
        *status = meshage_message_set_encoding(message, encoding);
    return message;
}

/* The options of a send that is retried. NULL without retries: a call with a time limit alone needs
 * no options. */
static meshage_send_options *make_options(int32_t timeout_ms, int32_t retry)
{
    if (!retry)
        return NULL;
    meshage_send_options *options = meshage_send_options_create();
    /* Fails for a time that is not valid only, and the Go code passes none. */
    meshage_send_options_timeout(options, timeout_ms);
    meshage_send_options_retry(options, true);
    return options;
}

static meshage_status send_bytes(meshage_node *node, const char *names, size_t count,
                                 const void *body, size_t len, int32_t timeout_ms,
                                 const meshage_send_options *options, meshage_report **report)
{
    meshage_status status;
    if (count == 0) {
        return options == NULL ? meshage_broadcast(node, body, len, timeout_ms, report)
                               : meshage_broadcast_with(node, body, len, options, report);
    }
    pointers pointers;
    pointers_init(&pointers, names, count);
    status = options == NULL
                 ? meshage_set(node, pointers.all, count, body, len, timeout_ms, report)
                 : meshage_set_with(node, pointers.all, count, body, len, options, report);
    pointers_free(&pointers);
    return status;
}

mg_send_result mg_send(meshage_node *node, const char *names, size_t count, const void *body,
                       size_t len, int32_t encoding, int32_t timeout_ms, int32_t retry,
                       int32_t reported)
{
    meshage_status status;
    mg_send_result result = {0};
    meshage_send_options *options = make_options(timeout_ms, retry);
    if (encoding == MESHAGE_ENCODING_BYTES) {
        status = send_bytes(node, names, count, body, len, timeout_ms, options, &result.report);
        result.error = error_text(status);
    } else {
        meshage_message *message = make_message(names, count, body, len, encoding, &status);
        if (status == MESHAGE_OK && options == NULL)
            status = meshage_send(node, message, timeout_ms, &result.report);
        else if (status == MESHAGE_OK)
            status = meshage_send_with(node, message, options, &result.report);
        result.error = error_text(status);
        meshage_message_free(message);
    }
    meshage_send_options_free(options);
    result.status = status;
    if (status == MESHAGE_OK && !reported) {
        meshage_report_free(result.report);
        result.report = NULL;
    }
    return result;
}

/* The destination of the result of a send. */
typedef struct pending_send {
    mg_queue *queue;
    uint64_t token;
    int32_t reported;
} pending_send;

static void on_sent(void *user_data, meshage_status status, meshage_report *owned)
{
    pending_send *send = user_data;
    mg_item item = {.kind = MG_SENT, .number = status, .token = send->token, .payload = owned};
    if (status == MESHAGE_OK && !send->reported) {
        meshage_report_free(owned);
        item.payload = NULL;
    }
    mg_queue_push(send->queue, item);
    free(send);
}

mg_send_result mg_send_async(meshage_node *node, const char *names, size_t count, const void *body,
                             size_t len, int32_t encoding, int32_t timeout_ms, int32_t retry,
                             int32_t reported, int32_t cancelable, mg_queue *queue, uint64_t token)
{
    meshage_status status;
    mg_send_result result = {0};
    meshage_message *message = make_message(names, count, body, len, encoding, &status);
    if (status == MESHAGE_OK) {
        pending_send *send = mg_realloc(NULL, sizeof *send);
        send->queue = queue;
        send->token = token;
        send->reported = reported;
        meshage_op **op = cancelable ? &result.op : NULL;
        meshage_send_options *options = make_options(timeout_ms, retry);
        status = options == NULL
                     ? meshage_send_async(node, message, timeout_ms, on_sent, send, op)
                     : meshage_send_async_with(node, message, options, on_sent, send, op);
        result.error = error_text(status);
        meshage_send_options_free(options);
        if (status != MESHAGE_OK)
            free(send);
    } else {
        result.error = error_text(status);
    }
    result.status = status;
    meshage_message_free(message);
    return result;
}

mg_text mg_report_take(meshage_report *report)
{
    mg_text text = {0};
    size_t count = meshage_report_count(report);
    for (size_t i = 0; i < count; i++) {
        mg_text_add(&text, meshage_report_recipient(report, i));
        mg_text_add_number(&text, (int64_t)meshage_report_status(report, i));
    }
    meshage_report_free(report);
    return text;
}

static void on_event(void *user_data, const meshage_event *borrowed)
{
    mg_item item = {.kind = MG_EVENT, .number = meshage_event_kind_of(borrowed)};
    mg_event *event = mg_realloc(NULL, sizeof *event);
    event->node = mg_strdup(meshage_event_node(borrowed));
    event->reason = mg_strdup(meshage_event_reason(borrowed));
    event->instance = meshage_event_instance(borrowed);
    event->departure = meshage_event_departure(borrowed);
    event->address = mg_strdup(meshage_event_address(borrowed));
    event->key_ids = (mg_text){0};
    for (size_t i = 0; i < meshage_event_key_id_count(borrowed); i++)
        mg_text_add(&event->key_ids, meshage_event_key_id(borrowed, i));
    item.payload = event;
    mg_queue_push(user_data, item);
}

void mg_event_free(mg_event *event)
{
    free(event->node);
    free(event->reason);
    free(event->address);
    free(event->key_ids.data);
    free(event);
}

mg_result mg_watch_events(meshage_node *node, mg_queue *queue)
{
    return mg_result_of(meshage_on_event(node, on_event, queue, NULL));
}

static void on_snoop(void *user_data, const meshage_message *borrowed)
{
    mg_queue_push_snooped(user_data, borrowed);
}

mg_result mg_watch_snoop(meshage_node *node, mg_queue *queue)
{
    return mg_result_of(meshage_on_snoop(node, on_snoop, queue, NULL));
}

mg_result mg_create(meshage_config *config, meshage_node **node)
{
    return mg_result_of(meshage_node_create(config, node));
}

mg_result mg_wait_now(meshage_node *node, const char *names, size_t count)
{
    pointers pointers;
    pointers_init(&pointers, names, count);
    mg_result result = mg_result_of(meshage_node_wait(node, pointers.all, count, 0));
    pointers_free(&pointers);
    return result;
}

mg_result mg_dial(meshage_node *node, const char *address, int32_t timeout_ms)
{
    return mg_result_of(meshage_dial(node, address, timeout_ms));
}

mg_result mg_hangup(meshage_node *node, const char *peer)
{
    return mg_result_of(meshage_hangup(node, peer));
}

static mg_result names_result(meshage_status status, meshage_names *names)
{
    mg_result result = mg_result_of(status);
    size_t count = meshage_names_count(names);
    for (size_t i = 0; i < count; i++)
        mg_text_add(&result.text, meshage_names_get(names, i));
    meshage_names_free(names);
    return result;
}

mg_result mg_recipients(meshage_node *node)
{
    meshage_names *names = NULL;
    meshage_status status = meshage_broadcast_recipients(node, &names);
    return names_result(status, names);
}

mg_result mg_peers(meshage_node *node)
{
    meshage_names *names = NULL;
    meshage_status status = meshage_node_peers(node, &names);
    return names_result(status, names);
}

mg_result mg_keys(meshage_node *node)
{
    meshage_names *ids = NULL;
    meshage_status status = meshage_node_keys(node, &ids);
    return names_result(status, ids);
}

mg_result mg_mesh(meshage_node *node)
{
    meshage_mesh *mesh = NULL;
    mg_result result = mg_result_of(meshage_node_mesh(node, &mesh));
    size_t count = meshage_mesh_count(mesh);
    for (size_t i = 0; i < count; i++) {
        size_t degree = meshage_mesh_degree(mesh, i);
        mg_text_add(&result.text, meshage_mesh_name(mesh, i));
        for (size_t j = 0; j < degree; j++)
            mg_text_add(&result.text, meshage_mesh_neighbor(mesh, i, j));
        mg_text_add(&result.text, "");
    }
    meshage_mesh_free(mesh);
    return result;
}

mg_result mg_dot(meshage_node *node)
{
    char *dot = NULL;
    mg_result result = mg_result_of(meshage_node_dot(node, &dot));
    if (dot != NULL)
        mg_text_add(&result.text, dot);
    meshage_string_free(dot);
    return result;
}

mg_result mg_stats(meshage_node *node)
{
    meshage_stats *stats = NULL;
    mg_result result = mg_result_of(meshage_node_stats(node, &stats));
    size_t count = meshage_stats_count(stats);
    for (size_t i = 0; i < count; i++) {
        mg_text_add(&result.text, meshage_stats_name(stats, i));
        mg_text_add_number(&result.text, (int64_t)meshage_stats_value(stats, i));
    }
    meshage_stats_free(stats);
    return result;
}
