/* Receiving with and without waiting, by meshage_poll, with the descriptor, and by a callback;
 * closing wakes all waiting calls. */
#include "check.h"

#include <poll.h>

struct taken {
    count messages, dropped;
    meshage_node *unset_on, *close_on;
};

static void taken_drop(void *user_data)
{
    count_up(&((struct taken *)user_data)->dropped);
}

static void take(void *user_data, meshage_message *message)
{
    struct taken *taken = user_data;
    CHECK(strcmp(meshage_message_source(message), "a") == 0);
    meshage_message_free(message);
    if (taken->unset_on != NULL)
        OK(meshage_on_message(taken->unset_on, NULL, NULL, NULL));
    if (taken->close_on != NULL)
        meshage_node_close(taken->close_on);
    count_up(&taken->messages);
}

static void waiting(meshage_node *a, meshage_node *b)
{
    meshage_message *message = (meshage_message *)&a;
    STATUS(MESHAGE_ERR_AGAIN, meshage_recv(b, 0, &message));
    CHECK(message == NULL);
    STATUS(MESHAGE_ERR_TIMEOUT, meshage_recv(b, 20, &message));
    OK(set_text(a, "b", "1"));
    OK(meshage_recv(b, 0, &message));
    CHECK(body_is(message, "1"));
    meshage_message_free(message);
}

static void polled(meshage_node *a, meshage_node *b)
{
    struct taken taken = {COUNT_INIT, COUNT_INIT, NULL, NULL};
    size_t handled = 7;
    int i;
    STATUS(MESHAGE_ERR_AGAIN, meshage_poll(b, 0, 2, take, &taken, &handled));
    CHECK(handled == 0);
    STATUS(MESHAGE_ERR_TIMEOUT, meshage_poll(b, 20, 2, take, &taken, NULL));
    STATUS(MESHAGE_ERR_INVALID, meshage_poll(b, 0, 0, take, &taken, NULL));
    for (i = 0; i < 3; i++)
        OK(set_text(a, "b", "x"));
    OK(meshage_poll(b, SOON_MS, 2, take, &taken, &handled));
    CHECK(handled == 2 && count_now(&taken.messages) == 2);
    OK(meshage_poll(b, SOON_MS, 2, take, &taken, &handled));
    CHECK(handled == 1 && count_now(&taken.messages) == 3);
}

static int readable(int fd, int timeout_ms)
{
    struct pollfd at;
    int ready;
    at.fd = fd;
    at.events = POLLIN;
    at.revents = 0;
    ready = poll(&at, 1, timeout_ms);
    CHECK(ready >= 0);
    return ready == 1;
}

static void descriptor(meshage_node *a, meshage_node *b)
{
    int fd = -1, again = -1, round;
    OK(meshage_recv_fd(b, &fd));
    OK(meshage_recv_fd(b, &again));
    CHECK(fd >= 0 && fd == again);
    for (round = 0; round < 2; round++) {
        CHECK(!readable(fd, 0));
        OK(set_text(a, "b", "1"));
        OK(set_text(a, "b", "2"));
        CHECK(readable(fd, SOON_MS));
        meshage_message_free(receive(b));
        CHECK(readable(fd, 0));
        meshage_message_free(receive(b));
        CHECK(!readable(fd, 0));
    }
}

static void callbacks(meshage_node *a, meshage_node *b)
{
    struct taken first = {COUNT_INIT, COUNT_INIT, NULL, NULL};
    struct taken second = {COUNT_INIT, COUNT_INIT, NULL, NULL};
    meshage_message *message = NULL;
    OK(set_text(a, "b", "queued before"));
    OK(meshage_on_message(b, take, &first, taken_drop));
    count_reaches(&first.messages, 1);
    STATUS(MESHAGE_ERR_STATE, meshage_recv(b, 0, &message));
    STATUS(MESHAGE_ERR_STATE, meshage_poll(b, 0, 1, take, &first, NULL));
    OK(set_text(a, "b", "x"));
    count_reaches(&first.messages, 2);
    OK(meshage_on_message(b, take, &second, taken_drop));
    count_reaches(&first.dropped, 1);
    OK(set_text(a, "b", "y"));
    count_reaches(&second.messages, 1);
    /* Removed from inside itself: dropped when it returns. */
    second.unset_on = b;
    OK(set_text(a, "b", "z"));
    count_reaches(&second.dropped, 1);
    CHECK(count_now(&second.messages) == 2);
    OK(set_text(a, "b", "for the queue"));
    OK(meshage_recv(b, SOON_MS, &message));
    CHECK(body_is(message, "for the queue"));
    meshage_message_free(message);
    CHECK(count_now(&first.dropped) == 1 && count_now(&first.messages) == 2);
    /* Whatever the result, user_data is dropped once. */
    STATUS(MESHAGE_ERR_NULL, meshage_on_message(NULL, take, &first, taken_drop));
    CHECK(count_now(&first.dropped) == 2);
    OK(meshage_on_message(b, NULL, &first, taken_drop));
    CHECK(count_now(&first.dropped) == 3);
}

static void *receives_until_a_callback_is_set(void *node)
{
    meshage_message *message = NULL;
    STATUS(MESHAGE_ERR_STATE, meshage_recv(node, MESHAGE_INFINITE, &message));
    CHECK(message == NULL);
    return NULL;
}

static void *polls_until_a_callback_is_set(void *node)
{
    struct taken taken = {COUNT_INIT, COUNT_INIT, NULL, NULL};
    STATUS(MESHAGE_ERR_STATE, meshage_poll(node, SOON_MS, 9, take, &taken, NULL));
    CHECK(count_now(&taken.messages) == 0);
    return NULL;
}

/* Calls that wait when a callback is set return, and take none of its messages. */
static void a_callback_takes_over(meshage_node *a, meshage_node *b)
{
    struct taken all = {COUNT_INIT, COUNT_INIT, NULL, NULL};
    pthread_t threads[2];
    int i;
    CHECK(pthread_create(&threads[0], NULL, receives_until_a_callback_is_set, b) == 0);
    CHECK(pthread_create(&threads[1], NULL, polls_until_a_callback_is_set, b) == 0);
    nap_ms(50); /* Let them wait. A call that begins later returns the same. */
    OK(meshage_on_message(b, take, &all, taken_drop));
    for (i = 0; i < 6; i++)
        OK(set_text(a, "b", "x"));
    count_reaches(&all.messages, 6);
    for (i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    OK(meshage_on_message(b, NULL, NULL, NULL));
    count_reaches(&all.dropped, 1);
}

static void *sends_until_closed(void *node)
{
    STATUS(MESHAGE_ERR_CLOSED, set_text(node, "full", "x"));
    return NULL;
}

/* A send that waits for room returns when its own node is closed, not after the flush. */
static void closing_wakes_a_send(void)
{
    meshage_node *full = start_on("full", 0, 1), *d = start("d");
    struct timespec begin, end;
    pthread_t thread;
    join(d, full);
    OK(set_text(d, "full", "1"));
    CHECK(pthread_create(&thread, NULL, sends_until_closed, d) == 0);
    nap_ms(50); /* As above. */
    clock_gettime(CLOCK_MONOTONIC, &begin);
    meshage_node_close(d);
    pthread_join(thread, NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    CHECK((end.tv_sec - begin.tv_sec) * 1000 + (end.tv_nsec - begin.tv_nsec) / 1000000 < 1000);
    meshage_node_free(d);
    meshage_node_free(full);
}

static void *receives_until_closed(void *node)
{
    meshage_message *message = NULL;
    STATUS(MESHAGE_ERR_CLOSED, meshage_recv(node, MESHAGE_INFINITE, &message));
    return NULL;
}

static void *awaits_until_closed(void *node)
{
    const char *name = "never";
    STATUS(MESHAGE_ERR_CLOSED, meshage_node_wait(node, &name, 1, MESHAGE_INFINITE));
    return NULL;
}

static void *polls_until_closed(void *node)
{
    struct taken taken = {COUNT_INIT, COUNT_INIT, NULL, NULL};
    STATUS(MESHAGE_ERR_CLOSED, meshage_poll(node, MESHAGE_INFINITE, 1, take, &taken, NULL));
    return NULL;
}

static void closing(meshage_node *a, meshage_node *b)
{
    struct taken closer = {COUNT_INIT, COUNT_INIT, NULL, NULL};
    meshage_node *c = start("c");
    meshage_message *message = NULL;
    pthread_t threads[3];
    size_t handled = 0;
    int fd = -1, i;
    CHECK(pthread_create(&threads[0], NULL, receives_until_closed, c) == 0);
    CHECK(pthread_create(&threads[1], NULL, awaits_until_closed, c) == 0);
    CHECK(pthread_create(&threads[2], NULL, polls_until_closed, c) == 0);
    nap_ms(50); /* Let them wait. A call that begins later returns the same. */
    OK(meshage_recv_fd(c, &fd));
    CHECK(!readable(fd, 0));
    meshage_node_close(c);
    meshage_node_close(c);
    for (i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    CHECK(readable(fd, SOON_MS));
    STATUS(MESHAGE_ERR_CLOSED, meshage_dial(c, address_of(b), SOON_MS));
    STATUS(MESHAGE_ERR_CLOSED, meshage_broadcast(c, "x", 1, SOON_MS, NULL));
    STATUS(MESHAGE_ERR_CLOSED, meshage_on_message(c, take, &closer, taken_drop));
    CHECK(count_now(&closer.dropped) == 1);
    CHECK(strcmp(meshage_node_name(c), "c") == 0);
    meshage_node_free(c);
    /* The queue of a closed node can still be read; meshage_poll stops when its callback closes the
     * node. */
    OK(set_text(a, "b", "1"));
    OK(set_text(a, "b", "2"));
    OK(set_text(a, "b", "3"));
    closer.close_on = b;
    OK(meshage_poll(b, SOON_MS, 3, take, &closer, &handled));
    CHECK(handled == 1);
    OK(meshage_recv(b, SOON_MS, &message));
    CHECK(body_is(message, "2"));
    meshage_message_free(message);
    closer.close_on = NULL;
    OK(meshage_poll(b, SOON_MS, 3, take, &closer, &handled));
    CHECK(handled == 1);
    STATUS(MESHAGE_ERR_CLOSED, meshage_recv(b, SOON_MS, &message));
}

int main(void)
{
    meshage_node *a = start("a"), *b = start("b");
    join(a, b);
    waiting(a, b);
    polled(a, b);
    descriptor(a, b);
    callbacks(a, b);
    a_callback_takes_over(a, b);
    closing_wakes_a_send();
    closing(a, b);
    meshage_node_free(a);
    meshage_node_free(b);
    return 0;
}
