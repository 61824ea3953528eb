/* What the Go package calls: each function does in one call what would be many through cgo, and none
 * calls back into Go.
 *
 *   Go ── mg_send, mg_begin, mg_receive, mg_… ──► libmeshage
 *   Go ◄── mg_collect ── queue ◄── the library's callbacks (ends of sends, events, snooped messages)
 *
 * No pointer of Go's is kept: bodies and names are copied by the library before a call returns, and a
 * callback's user_data is memory of C's. */

#ifndef MESHAGE_GO_SHIM_H
#define MESHAGE_GO_SHIM_H

#include <meshage.h>

/* How many messages are handed to Go at once, and how many bytes at most unless the first is larger:
 * enough that the crossing costs little, and little enough to hold twice. */
#define MG_BATCH 128
#define MG_BATCH_BYTES (1 << 20)
/* Snooped messages that wait for Go; more are dropped, as the library does it. */
#define MG_SNOOPED_MAX 1024

/* Strings one after the other, each with its NUL. */
typedef struct mg_text {
    char *data;
    size_t len;
    size_t room;
} mg_text;

/* What a call answers. `error` is NULL or a sentence, and to be freed; so is `text`. */
typedef struct mg_answer {
    int32_t status;
    char *error;
    mg_text text;
} mg_answer;

/* What became of a send. `report` and `error` are NULL or to be freed. */
typedef struct mg_outcome {
    int32_t status;
    char *error;
    meshage_report *report;
    meshage_op *op;
} mg_outcome;

enum mg_kind { MG_SENT, MG_EVENT, MG_SNOOPED };

/* Something that happened. */
typedef struct mg_item {
    int32_t kind;
    /* Of a send what it answers, of an event its kind. */
    int32_t number;
    /* Of a send: which. */
    uint64_t token;
    /* A report or NULL; the name of an event's node; a message. To be freed. */
    void *thing;
} mg_item;

typedef struct mg_items {
    mg_item *data;
    size_t count;
    size_t room;
} mg_items;

/* From the library's threads to one goroutine. */
typedef struct mg_queue mg_queue;

/* One message of a batch. Its names are source, recipients, route, from `names_at` on. */
typedef struct mg_message {
    const void *body;
    size_t len;
    size_t names_at;
    size_t recipients;
    size_t hops;
    uint64_t id;
    uint64_t instance;
    int32_t encoding;
} mg_message;

/* Messages on their way to Go. They live until the next is asked for. */
typedef struct mg_batch {
    size_t count;
    mg_message messages[MG_BATCH];
    meshage_message *owned[MG_BATCH];
    mg_text names;
} mg_batch;

/* Sends to `count` names that stand one after the other, or to all where there are none, and waits.
 * `reported`: a report is wanted of a success too. */
mg_outcome mg_send(meshage_node *node, const char *names, size_t count, const void *body, size_t len,
                   int32_t encoding, int32_t timeout_ms, int32_t reported);
/* Begins to send: if this answers OK, the end comes to the queue under this token. `cancelable`: the
 * answer has an op. */
mg_outcome mg_begin(meshage_node *node, const char *names, size_t count, const void *body, size_t len,
                    int32_t encoding, int32_t timeout_ms, int32_t reported, int32_t cancelable,
                    mg_queue *queue, uint64_t token);
/* Name, status, name, status … of a report, which it frees. */
mg_text mg_report_take(meshage_report *report);

/* Waits for messages. */
int32_t mg_receive(mg_batch *batch, meshage_node *node, size_t max);
/* Waits for snooped messages; 0 once the queue is closed and empty. */
size_t mg_collect_snooped(mg_batch *batch, mg_queue *queue);
mg_batch *mg_batch_create(void);
void mg_batch_free(mg_batch *batch);

mg_queue *mg_queue_create(void);
/* Nothing comes into it any more, and whoever waits for it wakes. */
void mg_queue_close(mg_queue *queue);
void mg_queue_free(mg_queue *queue);
/* Waits for items, and takes all that are there; none once the queue is closed and empty. They are
 * good until the next call. */
mg_items mg_collect(mg_queue *queue);

mg_answer mg_watch_events(meshage_node *node, mg_queue *queue);
mg_answer mg_watch_passing(meshage_node *node, mg_queue *queue);

/* These answer a status and a sentence. */
mg_answer mg_create(meshage_config *config, meshage_node **node);
mg_answer mg_wait_now(meshage_node *node, const char *names, size_t count);
mg_answer mg_dial(meshage_node *node, const char *address, int32_t timeout_ms);
mg_answer mg_hangup(meshage_node *node, const char *peer);
mg_answer mg_checked(meshage_status status);

/* Those below answer text as well: names; name, value, name, value …; of the mesh for each node its
 * name, its neighbours, and an empty string. */
mg_answer mg_recipients(meshage_node *node);
mg_answer mg_peers(meshage_node *node);
mg_answer mg_mesh(meshage_node *node);
mg_answer mg_dot(meshage_node *node);
mg_answer mg_stats(meshage_node *node);

#endif
