/* The queue from the library's threads to a goroutine.
 *
 * Two arrays: the library's threads fill one, the goroutine reads the other, and mg_collect swaps
 * them. What comes in is bounded: ends by the sends under way, snooped messages by MG_SNOOPED_MAX,
 * events by how often the goroutine runs (it never waits for the application). */

#include "shim.h"
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
    mg_queue *queue = mg_memory(NULL, sizeof *queue);
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

/* With the lock held. */
static void add(mg_queue *queue, mg_item item)
{
    mg_items *items = &queue->filling;
    if (items->count == items->room) {
        items->room = 2 * items->room + 16;
        items->data = mg_memory(items->data, items->room * sizeof *items->data);
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

/* With the lock held: waits until there is something, or nothing will come. */
static void wait_for_items(mg_queue *queue)
{
    while (queue->filling.count == 0 && !queue->closed)
        pthread_cond_wait(&queue->filled, &queue->lock);
}

mg_items mg_collect(mg_queue *queue)
{
    pthread_mutex_lock(&queue->lock);
    wait_for_items(queue);
    mg_items filled = queue->filling;
    queue->filling = queue->taken;
    queue->filling.count = 0;
    queue->taken = filled;
    pthread_mutex_unlock(&queue->lock);
    return filled;
}

static void happened(void *user_data, const meshage_event *borrowed)
{
    mg_item item = {.kind = MG_EVENT, .number = meshage_event_kind_of(borrowed)};
    item.thing = mg_copy(meshage_event_node(borrowed));
    mg_queue_push(user_data, item);
}

mg_answer mg_watch_events(meshage_node *node, mg_queue *queue)
{
    return mg_checked(meshage_on_event(node, happened, queue, NULL));
}

static void passed(void *user_data, const meshage_message *borrowed)
{
    mg_queue *queue = user_data;
    pthread_mutex_lock(&queue->lock);
    if (queue->filling.count < MG_SNOOPED_MAX) {
        meshage_message *message = meshage_message_clone(borrowed);
        add(queue, (mg_item){.kind = MG_SNOOPED, .thing = message});
    }
    pthread_mutex_unlock(&queue->lock);
}

mg_answer mg_watch_passing(meshage_node *node, mg_queue *queue)
{
    return mg_checked(meshage_on_snoop(node, passed, queue, NULL));
}

mg_batch *mg_batch_create(void)
{
    mg_batch *batch = mg_memory(NULL, sizeof *batch);
    memset(batch, 0, sizeof *batch);
    return batch;
}

/* Lets go of the messages that Go has read. */
static void clear(mg_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        meshage_message_free(batch->owned[i]);
    batch->count = 0;
    batch->names.len = 0;
}

void mg_batch_free(mg_batch *batch)
{
    clear(batch);
    free(batch->names.data);
    free(batch);
}

/* Adds a message, which becomes the batch's; how long its body is. */
static size_t describe(mg_batch *batch, meshage_message *owned)
{
    mg_message *message = &batch->messages[batch->count];
    batch->owned[batch->count++] = owned;
    message->body = meshage_message_body(owned, &message->len);
    message->encoding = meshage_message_encoding(owned);
    message->id = meshage_message_id(owned);
    message->instance = meshage_message_instance(owned);
    message->recipients = meshage_message_recipient_count(owned);
    message->hops = meshage_message_hop_count(owned);
    message->names_at = batch->names.len;
    mg_text_add(&batch->names, meshage_message_source(owned));
    for (size_t i = 0; i < message->recipients; i++)
        mg_text_add(&batch->names, meshage_message_recipient(owned, i));
    for (size_t i = 0; i < message->hops; i++)
        mg_text_add(&batch->names, meshage_message_hop(owned, i));
    return message->len;
}

int32_t mg_receive(mg_batch *batch, meshage_node *node, size_t max)
{
    meshage_message *message;
    clear(batch);
    meshage_status status = meshage_recv(node, MESHAGE_INFINITE, &message);
    if (status != MESHAGE_OK)
        return status;
    size_t bytes = describe(batch, message);
    while (batch->count < max && bytes < MG_BATCH_BYTES &&
           meshage_recv(node, 0, &message) == MESHAGE_OK)
        bytes += describe(batch, message);
    return MESHAGE_OK;
}

size_t mg_collect_snooped(mg_batch *batch, mg_queue *queue)
{
    clear(batch);
    pthread_mutex_lock(&queue->lock);
    wait_for_items(queue);
    mg_items *items = &queue->filling;
    size_t bytes = 0, count = 0;
    while (count < items->count && count < MG_BATCH && bytes < MG_BATCH_BYTES)
        bytes += describe(batch, items->data[count++].thing);
    items->count -= count;
    memmove(items->data, items->data + count, items->count * sizeof *items->data);
    pthread_mutex_unlock(&queue->lock);
    return batch->count;
}
