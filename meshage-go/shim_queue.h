/* The queue from the library's threads to a goroutine, and batches of messages. */

#ifndef MESHAGE_GO_SHIM_QUEUE_H
#define MESHAGE_GO_SHIM_QUEUE_H

#include "shim_types.h"

mg_queue *mg_queue_create(void);
/* Closes the queue and wakes the goroutine that waits for it. Nothing is added afterwards. */
void mg_queue_close(mg_queue *queue);
void mg_queue_free(mg_queue *queue);
/* Adds an item and wakes the goroutine that waits for the queue. */
void mg_queue_push(mg_queue *queue, mg_item item);
/* Adds a copy of a snooped message, or drops it if MG_SNOOPED_MAX messages wait. */
void mg_queue_push_snooped(mg_queue *queue, const meshage_message *borrowed);
/* Waits for items and takes all of them; none once the queue is closed and empty. They are valid
 * until the next call. */
mg_items mg_queue_take(mg_queue *queue);

mg_batch *mg_batch_create(void);
void mg_batch_free(mg_batch *batch);
/* Waits for messages and takes up to `max`. */
int32_t mg_batch_receive(mg_batch *batch, meshage_node *node, size_t max);
/* Waits for snooped messages and returns their number; 0 once the queue is closed and empty. */
size_t mg_batch_take_snooped(mg_batch *batch, mg_queue *queue);

#endif
