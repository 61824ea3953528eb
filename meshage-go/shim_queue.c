/* The queue from the library's threads to a goroutine, and batches of messages.
 *
 * The queue has two arrays: the library's threads fill one, the goroutine reads the other, and
 * mg_queue_take swaps them. The items are bounded: send results by the outstanding sends, snooped
 * messages by MG_SNOOPED_MAX, and events by the rate of the goroutine, which never waits for the
 * application. */

#include "shim_queue.h"
#include "shim_text.h"

#include <pthread.h>

struct mg_queue {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    mg_items filling;
    mg_items taken;
    bool closed;
};

mg_queue *mg_queue_create(void)
{
    mg_queue *queue = mg_realloc(NULL, sizeof *queue);
    memset(queue, 0, sizeof *queue);
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->filled, NULL);
    return queue;
}

void mg_queue_close(mg_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->closed = true;
    pthread_cond_signal(&queue->filled);
    pthread_mutex_unlock(&queue->lock);
}

void mg_queue_free(mg_queue *queue)
{
    pthread_cond_destroy(&queue->filled);
    pthread_mutex_destroy(&queue->lock);
    free(queue->filling.data);
    free(queue->taken.data);
    free(queue);
}

/* Adds an item. The caller holds the lock. */
static void add(mg_queue *queue, mg_item item)
{
    mg_items *items = &queue->filling;
    if (items->count == items->capacity) {
        items->capacity = 2 * items->capacity + 16;
        items->data = mg_realloc(items->data, items->capacity * sizeof *items->data);
    }
    items->data[items->count++] = item;
    if (items->count == 1)
        pthread_cond_signal(&queue->filled);
}

void mg_queue_push(mg_queue *queue, mg_item item)
{
    pthread_mutex_lock(&queue->lock);
    add(queue, item);
    pthread_mutex_unlock(&queue->lock);
}

/* Waits until the queue has an item or is closed. The caller holds the lock. */
static void wait_for_items(mg_queue *queue)
{
    while (queue->filling.count == 0 && !queue->closed)
        pthread_cond_wait(&queue->filled, &queue->lock);
}

mg_items mg_queue_take(mg_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    wait_for_items(queue);
    mg_items items = queue->filling;
    queue->filling = queue->taken;
    queue->filling.count = 0;
    queue->taken = items;
    pthread_mutex_unlock(&queue->lock);
    return items;
}

void mg_queue_push_snooped(mg_queue *queue, const meshage_message *borrowed)
{
    pthread_mutex_lock(&queue->lock);
    if (queue->filling.count < MG_SNOOPED_MAX) {
        meshage_message *message = meshage_message_clone(borrowed);
        add(queue, (mg_item){.kind = MG_SNOOPED, .payload = message});
    }
    pthread_mutex_unlock(&queue->lock);
}

mg_batch *mg_batch_create(void)
{
    mg_batch *batch = mg_realloc(NULL, sizeof *batch);
    memset(batch, 0, sizeof *batch);
    return batch;
}

/* Frees the messages that Go has read. */
static void batch_clear(mg_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        meshage_message_free(batch->owned[i]);
    batch->count = 0;
    batch->names.len = 0;
}

void mg_batch_free(mg_batch *batch)
{
    batch_clear(batch);
    free(batch->names.data);
    free(batch);
}

/* Adds a message, which the batch then owns, and returns the length of its body. */
static size_t batch_add(mg_batch *batch, meshage_message *owned)
{
    mg_message *message = &batch->messages[batch->count];
    batch->owned[batch->count++] = owned;
    message->body = meshage_message_body(owned, &message->len);
    message->encoding = meshage_message_encoding(owned);
    message->id = meshage_message_id(owned);
    message->instance = meshage_message_instance(owned);
    message->recipients = meshage_message_recipient_count(owned);
    message->hops = meshage_message_hop_count(owned);
    message->names_offset = batch->names.len;
    mg_text_add(&batch->names, meshage_message_source(owned));
    for (size_t i = 0; i < message->recipients; i++)
        mg_text_add(&batch->names, meshage_message_recipient(owned, i));
    for (size_t i = 0; i < message->hops; i++)
        mg_text_add(&batch->names, meshage_message_hop(owned, i));
    return message->len;
}

int32_t mg_batch_receive(mg_batch *batch, meshage_node *node, size_t max)
{
    meshage_message *message;
    batch_clear(batch);
    meshage_status status = meshage_recv(node, MESHAGE_INFINITE, &message);
    if (status != MESHAGE_OK)
        return status;
    size_t bytes = batch_add(batch, message);
    while (batch->count < max && bytes < MG_BATCH_BYTES &&
           meshage_recv(node, 0, &message) == MESHAGE_OK)
        bytes += batch_add(batch, message);
    return MESHAGE_OK;
}

size_t mg_batch_take_snooped(mg_batch *batch, mg_queue *queue)
{
    batch_clear(batch);
    pthread_mutex_lock(&queue->lock);
    wait_for_items(queue);
    mg_items *items = &queue->filling;
    size_t bytes = 0, count = 0;
    while (count < items->count && count < MG_BATCH && bytes < MG_BATCH_BYTES)
        bytes += batch_add(batch, items->data[count++].payload);
    items->count -= count;
    memmove(items->data, items->data + count, items->count * sizeof *items->data);
    pthread_mutex_unlock(&queue->lock);
    return batch->count;
}
