/* Programs that act at once: who closes with a message just received has acknowledged it, and who
 * answers the first message of a node it has just met finds the way back. */
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

static void *answers(void *node)
{
    meshage_message *message = receive(node);
    OK(set_text(node, meshage_message_source(message), "y"));
    meshage_message_free(message);
    return NULL;
}

static void answering(void)
{
    int round;
    for (round = 0; round < ROUNDS; round++) {
        /* Either order of the names: the two ends of a handshake differ by it. */
        meshage_node *a = start(round % 2 ? "a" : "z"), *b = start("m");
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, answers, b) == 0);
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
    answering();
    return 0;
}
