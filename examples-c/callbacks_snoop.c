/* Callbacks: one program with three nodes in a line, left - middle - right. The right node prints
 * the messages that it receives, the middle node those that it forwards. The callback of the left
 * node is called when a send has ended.
 *
 *   ./callbacks_snoop [MESSAGES] */
#define _POSIX_C_SOURCE 200809L
#include "example.h"

#include <pthread.h>
#include <time.h>

/* Shared by the callbacks. They run on threads of the library, so access is locked. */
struct progress {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int received, seen, ended, failed;
};

static void step(struct progress *progress, int *counter)
{
    pthread_mutex_lock(&progress->mutex);
    ++*counter;
    pthread_cond_signal(&progress->changed);
    pthread_mutex_unlock(&progress->mutex);
}

static void on_message(void *user_data, meshage_message *message)
{
    struct progress *progress = user_data;
    size_t len;
    const char *body = meshage_message_body(message, &len);
    printf("right:  \"%.*s\" from %s\n", (int)len, body, meshage_message_source(message));
    meshage_message_free(message); /* The callback owns it. */
    step(progress, &progress->received);
}

static void on_snoop(void *user_data, const meshage_message *message)
{
    struct progress *progress = user_data;
    printf("middle: message %llu from %s to %s forwarded\n",
           (unsigned long long)meshage_message_id(message), meshage_message_source(message),
           meshage_message_recipient(message, 0));
    step(progress, &progress->seen); /* The message is borrowed. */
}

static void on_report(void *user_data, meshage_status status, meshage_report *report)
{
    struct progress *progress = user_data;
    if (status != MESHAGE_OK)
        step(progress, &progress->failed);
    meshage_report_free(report);
    step(progress, &progress->ended);
}

static void on_drop(void *user_data)
{
    (void)user_data;
    printf("a callback was released\n");
}

/* Starts a node without discovery. Its links are established by meshage_dial. */
static meshage_node *start(const char *name)
{
    meshage_node *node = NULL;
    meshage_config *config = meshage_config_create(name);
    must(meshage_config_bind(config, "127.0.0.1"), "the address");
    must(meshage_config_port(config, 0), "the port");
    must(meshage_node_create(config, &node), name);
    meshage_config_free(config);
    return node;
}

static void link_to(meshage_node *from, meshage_node *to)
{
    char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)meshage_node_port(to));
    must(meshage_dial(from, address, MESHAGE_DEFAULT), "the link");
}

int main(int argc, char **argv)
{
    struct progress progress = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0, 0};
    int messages = argc > 1 ? atoi(argv[1]) : 3, i, succeeded;
    struct timespec deadline;
    const char *destination = "right";
    meshage_node *left_node = start("left"), *middle = start("middle"), *right = start("right");

    must(meshage_on_message(right, on_message, &progress, on_drop), "the message callback");
    must(meshage_on_snoop(middle, on_snoop, &progress, on_drop), "the snoop callback");
    link_to(left_node, middle);
    link_to(middle, right);
    must(meshage_node_wait(left_node, &destination, 1, MESHAGE_DEFAULT), "the route");
    for (i = 1; i <= messages; i++) {
        char text[32];
        meshage_message *message;
        snprintf(text, sizeof text, "number %d", i);
        message = meshage_message_create(text, strlen(text));
        must(meshage_message_add_recipient(message, destination), "the recipient");
        must(meshage_send_async(left_node, message, MESHAGE_DEFAULT, on_report, &progress, NULL),
             "the send");
        meshage_message_free(message);
    }
    pthread_mutex_lock(&progress.mutex);
    while (progress.ended < messages || progress.received + progress.failed < messages)
        pthread_cond_wait(&progress.changed, &progress.mutex);
    /* Snooped messages may come later than the messages themselves. If there are too many, some are
     * dropped, so the wait is limited. */
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += 5;
    while (progress.seen < progress.received &&
           pthread_cond_timedwait(&progress.changed, &progress.mutex, &deadline) == 0)
        ;
    pthread_mutex_unlock(&progress.mutex);

    /* After a node is freed, none of its callbacks runs. */
    meshage_node_free(right);
    meshage_node_free(middle);
    meshage_node_free(left_node);
    printf("%d sent, %d received, %d seen in transit\n", messages, progress.received,
           progress.seen);
    succeeded = progress.failed == 0 && progress.received == messages;
    return succeeded ? 0 : 1;
}
