/* A program that exits without freeing anything, while threads wait and callbacks are set. */
#include "check.h"

static meshage_node *nodes[3];

static void take(void *user_data, meshage_message *message)
{
    meshage_message_free(message);
    count_up(user_data);
}

static void *waits(void *node)
{
    meshage_message *message = NULL;
    (void)meshage_recv(node, MESHAGE_INFINITE, &message);
    return NULL;
}

int main(void)
{
    static count taken = COUNT_INIT;
    pthread_t thread;
    nodes[0] = start("a");
    nodes[1] = start("b");
    nodes[2] = start("c");
    join(nodes[0], nodes[1]);
    OK(meshage_on_message(nodes[1], take, &taken, count_drop));
    OK(set_text(nodes[0], "b", "x"));
    count_reaches(&taken, 1);
    CHECK(pthread_create(&thread, NULL, waits, nodes[2]) == 0);
    CHECK(pthread_detach(thread) == 0);
    nap_ms(20);
    return 0;
}
