/* Programs that act at once: a node that is freed directly after it received a message has
 * acknowledged it, and a node that replies to the first message of a new peer has a route to it. */
#include "check.h"

#define ROUNDS 20

static void *receives_and_leaves(void *node)
{
    meshage_message_free(receive(node));
    meshage_node_free(node);
    return NULL;
}

static void closing(void)
{
    int round;
    for (round = 0; round < ROUNDS; round++) {
        meshage_node *a = start("a"), *b = start("b");
        pthread_t thread;
        join(a, b);
        CHECK(pthread_create(&thread, NULL, receives_and_leaves, b) == 0);
        OK(set_text(a, "b", "x"));
        pthread_join(thread, NULL);
        meshage_node_free(a);
    }
}

static void *replies(void *node)
{
    meshage_message *message = receive(node);
    OK(set_text(node, meshage_message_source(message), "y"));
    meshage_message_free(message);
    return NULL;
}

static void replying(void)
{
    int round;
    for (round = 0; round < ROUNDS; round++) {
        /* Both orders of the names, because the handshake depends on it. */
        meshage_node *a = start(round % 2 ? "a" : "z"), *b = start("m");
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, replies, b) == 0);
        OK(meshage_dial(round % 3 ? a : b, address_of(round % 3 ? b : a), SOON_MS));
        wait_for(a, "m");
        OK(set_text(a, "m", "x"));
        meshage_message_free(receive(a));
        pthread_join(thread, NULL);
        meshage_node_free(b);
        meshage_node_free(a);
    }
}

int main(void)
{
    closing();
    replying();
    return 0;
}
