/* A node that is freed inside each kind of its own callbacks, in a drop function, in a callback of
 * another node, and while other threads wait in it. */
#include "check.h"

struct target {
    meshage_node *node;
    count called, dropped;
};

#define TARGET(node) {node, COUNT_INIT, COUNT_INIT}

static void dropped(void *user_data)
{
    count_up(&((struct target *)user_data)->dropped);
}

static void free_on_message(void *user_data, meshage_message *message)
{
    struct target *target = user_data;
    meshage_message_free(message);
    meshage_node_free(target->node);
    count_up(&target->called);
}

static void free_on_event(void *user_data, const meshage_event *event)
{
    struct target *target = user_data;
    (void)event;
    if (target->node == NULL)
        return;
    meshage_node_free(target->node);
    target->node = NULL;
    count_up(&target->called);
}

static void free_on_report(void *user_data, meshage_status status, meshage_report *report)
{
    struct target *target = user_data;
    OK(status);
    meshage_report_free(report);
    meshage_node_free(target->node);
    count_up(&target->called);
}

static void free_on_snoop(void *user_data, const meshage_message *message)
{
    struct target *target = user_data;
    CHECK(strcmp(meshage_message_source(message), "a") == 0);
    meshage_node_free(target->node);
    count_up(&target->called);
}

static void free_on_drop(void *user_data)
{
    struct target *target = user_data;
    meshage_node_free(target->node);
    count_up(&target->dropped);
}

static void inside_message(void)
{
    meshage_node *a = start("a"), *b = start("b");
    struct target target = TARGET(b);
    join(a, b);
    OK(meshage_on_message(b, free_on_message, &target, dropped));
    (void)set_text(a, "b", "x");
    count_reaches(&target.called, 1);
    count_reaches(&target.dropped, 1);
    meshage_node_free(a);
}

static void inside_event(void)
{
    meshage_node *a = start("a"), *b = start("b");
    struct target target = TARGET(b);
    OK(meshage_on_event(b, free_on_event, &target, dropped));
    (void)meshage_dial(a, address_of(b), SOON_MS);
    count_reaches(&target.dropped, 1);
    CHECK(count_now(&target.called) == 1);
    meshage_node_free(a);
}

static void inside_report(void)
{
    meshage_node *a = start("a"), *b = start("b");
    struct target target = TARGET(a);
    meshage_message *message = meshage_message_create("x", 1);
    meshage_op *op = NULL;
    join(a, b);
    OK(meshage_send_async(a, message, SOON_MS, free_on_report, &target, &op));
    meshage_message_free(message);
    count_reaches(&target.called, 1);
    meshage_op_cancel(op);
    meshage_op_free(op);
    meshage_node_free(b);
}

static void inside_snoop(void)
{
    meshage_node *a = start("a"), *b = start("b"), *c = start("c");
    struct target target = TARGET(b);
    join(a, b);
    join(b, c);
    wait_for(a, "c");
    OK(meshage_on_snoop(b, free_on_snoop, &target, dropped));
    (void)set_text(a, "c", "x");
    count_reaches(&target.dropped, 1);
    CHECK(count_now(&target.called) == 1);
    meshage_node_free(a);
    meshage_node_free(c);
}

static void inside_poll(void)
{
    meshage_node *a = start("a"), *b = start("b");
    struct target target = TARGET(b);
    size_t handled = 0;
    join(a, b);
    OK(set_text(a, "b", "1"));
    OK(set_text(a, "b", "2"));
    OK(meshage_poll(b, SOON_MS, 2, free_on_message, &target, &handled));
    CHECK(handled == 1);
    meshage_node_free(a);
}

static void inside_drop(void)
{
    meshage_node *a = start("a");
    struct target target = TARGET(a);
    OK(meshage_on_message(a, free_on_message, &target, free_on_drop));
    OK(meshage_on_message(a, NULL, NULL, NULL));
    count_reaches(&target.dropped, 1);
}

/* Frees the remaining node if no callback has freed it, once none will. */
static void free_remaining(struct target *remaining, struct target *other)
{
    count_reaches(&remaining->dropped, 1);
    if (count_now(&remaining->called) == 0)
        meshage_node_free(remaining->node);
    count_reaches(&other->dropped, 1);
}

/* Two nodes, each freed inside the other's callback, possibly at the same time. If one is freed
 * first, the other's callback may never receive its message. */
static void inside_each_other(void)
{
    meshage_node *a = start("a"), *b = start("b");
    struct target frees_a = TARGET(a), frees_b = TARGET(b);
    int waited;
    join(a, b);
    OK(meshage_on_message(a, free_on_message, &frees_b, dropped));
    OK(meshage_on_message(b, free_on_message, &frees_a, dropped));
    /* If a node is freed while it waits for the acknowledgement, the call returns CLOSED. */
    (void)set_text(a, "b", "x");
    (void)set_text(b, "a", "x");
    for (waited = 0; count_now(&frees_a.called) + count_now(&frees_b.called) == 0; waited++) {
        CHECK(waited < SOON_MS);
        nap_ms(1);
    }
    /* A node that was freed drops its own callback, which then can no longer free the other
     * node. */
    if (count_now(&frees_a.called) == 1)
        free_remaining(&frees_b, &frees_a);
    else
        free_remaining(&frees_a, &frees_b);
}

struct waiter {
    meshage_node *node;
    count *inside;
};

static void *receives(void *data)
{
    struct waiter *waiter = data;
    meshage_message *message = NULL;
    count_up(waiter->inside);
    STATUS(MESHAGE_ERR_CLOSED, meshage_recv(waiter->node, MESHAGE_INFINITE, &message));
    return NULL;
}

static void *awaits(void *data)
{
    struct waiter *waiter = data;
    const char *name = "never";
    count_up(waiter->inside);
    STATUS(MESHAGE_ERR_CLOSED, meshage_node_wait(waiter->node, &name, 1, MESHAGE_INFINITE));
    return NULL;
}

static void *takes_events(void *data)
{
    struct waiter *waiter = data;
    meshage_event *event = NULL;
    meshage_status status;
    count_up(waiter->inside);
    status = meshage_next_event(waiter->node, MESHAGE_INFINITE, &event);
    meshage_event_free(event);
    STATUS(MESHAGE_ERR_CLOSED, status);
    return NULL;
}

static void *(*const WAITERS[])(void *) = {receives, receives, awaits, takes_events, takes_events};

#define WAITERS_COUNT (sizeof WAITERS / sizeof *WAITERS)

static void while_threads_wait(void)
{
    count inside = COUNT_INIT;
    struct waiter waiter;
    pthread_t threads[WAITERS_COUNT];
    size_t i;
    waiter.node = start("a");
    waiter.inside = &inside;
    for (i = 0; i < WAITERS_COUNT; i++)
        CHECK(pthread_create(&threads[i], NULL, WAITERS[i], &waiter) == 0);
    count_reaches(&inside, (long)WAITERS_COUNT);
    nap_ms(200); /* A call must have begun before the node is freed. */
    meshage_node_free(waiter.node);
    for (i = 0; i < WAITERS_COUNT; i++)
        pthread_join(threads[i], NULL);
}

/* Freeing a node waits for a callback that is running; afterwards, none is called. */
static void slow(void *user_data, meshage_message *message)
{
    struct target *target = user_data;
    count_up(&target->called);
    nap_ms(100);
    meshage_message_free(message);
    CHECK(count_now(&target->dropped) == 0);
}

static void waits_for_callbacks(void)
{
    meshage_node *a = start("a"), *b = start("b");
    struct target target = TARGET(NULL);
    join(a, b);
    OK(meshage_on_message(b, slow, &target, dropped));
    OK(set_text(a, "b", "x"));
    count_reaches(&target.called, 1);
    meshage_node_free(b);
    CHECK(count_now(&target.dropped) == 1);
    meshage_node_free(a);
}

int main(void)
{
    inside_message();
    inside_event();
    inside_report();
    inside_snoop();
    inside_poll();
    inside_drop();
    inside_each_other();
    while_threads_wait();
    waits_for_callbacks();
    return 0;
}
