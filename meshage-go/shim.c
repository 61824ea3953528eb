/* Calls into the library, each with all that it answers. */

#include "shim.h"
#include "shim_text.h"

/* The library that this package was written for: the linker says this name of any other. */
uint32_t mg_abi(void)
{
    return meshage_abi_0_1();
}

/* Recipients whose pointers stand on the stack; more are put on the heap. */
#define FEW 16

/* Pointers to names that stand one after the other. */
typedef struct pointers {
    const char *few[FEW];
    const char **all;
} pointers;

static void point(pointers *pointers, const char *names, size_t count)
{
    pointers->all = pointers->few;
    if (count > FEW)
        pointers->all = mg_memory(NULL, count * sizeof *pointers->all);
    for (size_t i = 0; i < count; i++) {
        pointers->all[i] = names;
        names += strlen(names) + 1;
    }
}

static void unpoint(pointers *pointers)
{
    if (pointers->all != pointers->few)
        free(pointers->all);
}

/* A sentence about the last call of this thread: another may run on another thread. */
static char *sentence(meshage_status status)
{
    if (status == MESHAGE_OK)
        return NULL;
    const char *said = meshage_last_error();
    return mg_copy(said[0] != '\0' ? said : meshage_strerror(status));
}

mg_answer mg_checked(meshage_status status)
{
    return (mg_answer){.status = status, .error = sentence(status)};
}

/* A message with its recipients; where one of them is no name, the status says so. */
static meshage_message *made(const char *names, size_t count, const void *body, size_t len,
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

static meshage_status send_bytes(meshage_node *node, const char *names, size_t count,
                                 const void *body, size_t len, int32_t timeout_ms,
                                 meshage_report **report)
{
    if (count == 0)
        return meshage_broadcast(node, body, len, timeout_ms, report);
    pointers pointers;
    point(&pointers, names, count);
    meshage_status status = meshage_set(node, pointers.all, count, body, len, timeout_ms, report);
    unpoint(&pointers);
    return status;
}

mg_outcome mg_send(meshage_node *node, const char *names, size_t count, const void *body, size_t len,
                   int32_t encoding, int32_t timeout_ms, int32_t reported)
{
    meshage_status status;
    mg_outcome outcome = {0};
    if (encoding == MESHAGE_ENCODING_BYTES) {
        status = send_bytes(node, names, count, body, len, timeout_ms, &outcome.report);
        outcome.error = sentence(status);
    } else {
        meshage_message *message = made(names, count, body, len, encoding, &status);
        if (status == MESHAGE_OK)
            status = meshage_send(node, message, timeout_ms, &outcome.report);
        outcome.error = sentence(status);
        meshage_message_free(message);
    }
    outcome.status = status;
    if (status == MESHAGE_OK && !reported) {
        meshage_report_free(outcome.report);
        outcome.report = NULL;
    }
    return outcome;
}

/* Where the end of a send goes. */
typedef struct call {
    mg_queue *queue;
    uint64_t token;
    int32_t reported;
} call;

static void sent(void *user_data, meshage_status status, meshage_report *owned)
{
    call *call = user_data;
    mg_item item = {.kind = MG_SENT, .number = status, .token = call->token, .thing = owned};
    if (status == MESHAGE_OK && !call->reported) {
        meshage_report_free(owned);
        item.thing = NULL;
    }
    mg_queue_push(call->queue, item);
    free(call);
}

mg_outcome mg_begin(meshage_node *node, const char *names, size_t count, const void *body, size_t len,
                    int32_t encoding, int32_t timeout_ms, int32_t reported, int32_t cancelable,
                    mg_queue *queue, uint64_t token)
{
    meshage_status status;
    mg_outcome outcome = {0};
    meshage_message *message = made(names, count, body, len, encoding, &status);
    if (status == MESHAGE_OK) {
        call *call = mg_memory(NULL, sizeof *call);
        call->queue = queue;
        call->token = token;
        call->reported = reported;
        status = meshage_send_async(node, message, timeout_ms, sent, call,
                                    cancelable ? &outcome.op : NULL);
        if (status != MESHAGE_OK)
            free(call);
    }
    outcome.status = status;
    outcome.error = sentence(status);
    meshage_message_free(message);
    return outcome;
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

mg_answer mg_create(meshage_config *config, meshage_node **node)
{
    return mg_checked(meshage_node_create(config, node));
}

mg_answer mg_wait_now(meshage_node *node, const char *names, size_t count)
{
    pointers pointers;
    point(&pointers, names, count);
    mg_answer answer = mg_checked(meshage_node_wait(node, pointers.all, count, 0));
    unpoint(&pointers);
    return answer;
}

mg_answer mg_dial(meshage_node *node, const char *address, int32_t timeout_ms)
{
    return mg_checked(meshage_dial(node, address, timeout_ms));
}

mg_answer mg_hangup(meshage_node *node, const char *peer)
{
    return mg_checked(meshage_hangup(node, peer));
}

static mg_answer of_names(meshage_status status, meshage_names *names)
{
    mg_answer answer = mg_checked(status);
    size_t count = meshage_names_count(names);
    for (size_t i = 0; i < count; i++)
        mg_text_add(&answer.text, meshage_names_get(names, i));
    meshage_names_free(names);
    return answer;
}

mg_answer mg_recipients(meshage_node *node)
{
    meshage_names *names = NULL;
    meshage_status status = meshage_broadcast_recipients(node, &names);
    return of_names(status, names);
}

mg_answer mg_peers(meshage_node *node)
{
    meshage_names *names = NULL;
    meshage_status status = meshage_node_peers(node, &names);
    return of_names(status, names);
}

mg_answer mg_mesh(meshage_node *node)
{
    meshage_mesh *mesh = NULL;
    mg_answer answer = mg_checked(meshage_node_mesh(node, &mesh));
    size_t count = meshage_mesh_count(mesh);
    for (size_t i = 0; i < count; i++) {
        size_t degree = meshage_mesh_degree(mesh, i);
        mg_text_add(&answer.text, meshage_mesh_name(mesh, i));
        for (size_t j = 0; j < degree; j++)
            mg_text_add(&answer.text, meshage_mesh_neighbor(mesh, i, j));
        mg_text_add(&answer.text, "");
    }
    meshage_mesh_free(mesh);
    return answer;
}

mg_answer mg_dot(meshage_node *node)
{
    char *dot = NULL;
    mg_answer answer = mg_checked(meshage_node_dot(node, &dot));
    if (dot != NULL)
        mg_text_add(&answer.text, dot);
    meshage_string_free(dot);
    return answer;
}

mg_answer mg_stats(meshage_node *node)
{
    meshage_stats *stats = NULL;
    mg_answer answer = mg_checked(meshage_node_stats(node, &stats));
    size_t count = meshage_stats_count(stats);
    for (size_t i = 0; i < count; i++) {
        mg_text_add(&answer.text, meshage_stats_name(stats, i));
        mg_text_add_number(&answer.text, (int64_t)meshage_stats_value(stats, i));
    }
    meshage_stats_free(stats);
    return answer;
}
