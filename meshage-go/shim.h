/* The C functions that the Go package calls. Each combines several library calls into one call
 * through cgo. None calls back into Go.
 *
 *   Go ── mg_send, mg_send_async, mg_… ──► libmeshage
 *   Go ◄── mg_queue_take ── queue ◄── callbacks (send results, events, snooped messages)
 *
 * No pointer to Go memory is kept: the library copies bodies and names before a call returns, and
 * the user_data of a callback is C memory. */

#ifndef MESHAGE_GO_SHIM_H
#define MESHAGE_GO_SHIM_H

#include "shim_queue.h"

/* Sends to `count` names that are stored one after the other, or broadcasts if `count` is 0, and
 * waits. With `reported` a successful send has a report too. */
mg_send_result mg_send(meshage_node *node, const char *names, size_t count, const void *body,
                       size_t len, int32_t encoding, int32_t timeout_ms, int32_t retry,
                       int32_t reported);
/* Starts a send. If the status is OK, the result is added to the queue with this token. With
 * `cancelable` the result of this call has an op. */
mg_send_result mg_send_async(meshage_node *node, const char *names, size_t count, const void *body,
                             size_t len, int32_t encoding, int32_t timeout_ms, int32_t retry,
                             int32_t reported, int32_t cancelable, mg_queue *queue, uint64_t token);
/* Returns name, status, name, status … of a report, and frees the report. */
mg_text mg_report_take(meshage_report *report);

void mg_event_free(mg_event *event);

/* Add the node's events, or its snooped messages, to a queue. */
mg_result mg_watch_events(meshage_node *node, mg_queue *queue);
mg_result mg_watch_snoop(meshage_node *node, mg_queue *queue);

/* These return a status and an error text. */
mg_result mg_create(meshage_config *config, meshage_node **node);
mg_result mg_wait_now(meshage_node *node, const char *names, size_t count);
mg_result mg_dial(meshage_node *node, const char *address, int32_t timeout_ms);
mg_result mg_hangup(meshage_node *node, const char *peer);
mg_result mg_result_of(meshage_status status);

/* These return text as well: names; or name, value, name, value …; or, for the mesh, the name of
 * each node, its neighbours, and an empty string. */
mg_result mg_recipients(meshage_node *node);
mg_result mg_peers(meshage_node *node);
mg_result mg_keys(meshage_node *node);
mg_result mg_mesh(meshage_node *node);
mg_result mg_dot(meshage_node *node);
mg_result mg_stats(meshage_node *node);

#endif
