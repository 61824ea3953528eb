/* The types of the shim: what its functions return, and what its queue carries to Go. */

#ifndef MESHAGE_GO_SHIM_TYPES_H
#define MESHAGE_GO_SHIM_TYPES_H

#include <meshage.h>

/* The most messages that are passed to Go at once, and the most bytes unless the first message is
 * larger. This is large enough that the call through cgo costs little, and small enough to hold
 * twice. */
#define MG_BATCH 128
#define MG_BATCH_BYTES (1 << 20)
/* The most snooped messages that wait for Go. More are dropped, as in the library. */
#define MG_SNOOPED_MAX 1024

/* Consecutive strings, each with its NUL. */
typedef struct mg_text {
    char *data;
    size_t len;
    size_t capacity;
} mg_text;

/* The result of a call. `error` is NULL or an error text. The caller frees `error` and `text`. */
typedef struct mg_result {
    int32_t status;
    char *error;
    mg_text text;
} mg_result;

/* The result of a send. The caller frees `error`, `report` and `op`, which may be NULL. */
typedef struct mg_send_result {
    int32_t status;
    char *error;
    meshage_report *report;
    meshage_op *op;
} mg_send_result;

/* An event. The receiver frees it and its strings with mg_event_free. */
typedef struct mg_event {
    char *node;
    char *reason;
    uint64_t instance;
    int32_t departure;
    char *address;
    mg_text key_ids;
} mg_event;

enum mg_kind { MG_SENT, MG_EVENT, MG_SNOOPED };

/* One item of a queue. */
typedef struct mg_item {
    int32_t kind;
    /* The status of a send, or the kind of an event. */
    int32_t number;
    /* The token of a send. */
    uint64_t token;
    /* A report or NULL, an mg_event, or a message. The receiver frees it. */
    void *payload;
} mg_item;

typedef struct mg_items {
    mg_item *data;
    size_t count;
    size_t capacity;
} mg_items;

/* A queue from the library's threads to one goroutine. */
typedef struct mg_queue mg_queue;

/* One message of a batch. Its names (source, recipients, route) start at `names_offset`. */
typedef struct mg_message {
    const void *body;
    size_t len;
    size_t names_offset;
    size_t recipients;
    size_t hops;
    uint64_t id;
    uint64_t instance;
    int32_t encoding;
} mg_message;

/* Messages for Go. They are valid until the next batch is requested. */
typedef struct mg_batch {
    size_t count;
    mg_message messages[MG_BATCH];
    meshage_message *owned[MG_BATCH];
    mg_text names;
} mg_batch;

#endif
