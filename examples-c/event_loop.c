/* A node in the program's own event loop: poll(2) waits for the keyboard and the node. The program
 * broadcasts each line that you type and prints the messages that it receives.
 *
 *   ./event_loop [NAME [NAMESPACE [PORT [SECONDS]]]] */
#define _POSIX_C_SOURCE 200809L
#include "example.h"

#include <poll.h>
#include <unistd.h>

static void print(void *unused, meshage_message *message)
{
    size_t len;
    const char *body = meshage_message_body(message, &len);
    (void)unused;
    printf("%s: %.*s\n", meshage_message_source(message), (int)len, body);
    meshage_message_free(message);
}

static void done(void *unused, meshage_status status, meshage_report *report)
{
    (void)unused;
    printf("sent to %zu of %zu: %s\n", meshage_report_delivered(report),
           meshage_report_count(report), meshage_strerror(status));
    fflush(stdout);
    meshage_report_free(report);
}

/* Sends without waiting, so that the loop continues. */
static void send_to_all(meshage_node *node, const char *text, size_t len)
{
    meshage_message *message = meshage_message_create(text, len);
    meshage_status status;
    meshage_message_set_encoding(message, MESHAGE_ENCODING_TEXT);
    status = meshage_send_async(node, message, MESHAGE_DEFAULT, done, NULL, NULL);
    if (status != MESHAGE_OK)
        printf("not sent: %s\n", meshage_last_error());
    meshage_message_free(message);
}

int main(int argc, char **argv)
{
    struct arguments arguments = parse(argc, argv, 1, "loop");
    meshage_node *node = join_mesh(&arguments);
    time_t end = end_of(&arguments);
    struct pollfd ready[2];
    int fd;

    must(meshage_recv_fd(node, &fd), "the descriptor");
    ready[0].fd = fd;
    ready[1].fd = STDIN_FILENO;
    ready[0].events = ready[1].events = POLLIN;
    printf("%s: type a line\n", meshage_node_name(node));
    fflush(stdout);
    while (remaining(end) != 0 && poll(ready, 2, remaining(end)) > 0) {
        if (ready[0].revents != 0) {
            /* Level-triggered: messages beyond this number make the descriptor ready again. */
            meshage_status status = meshage_poll(node, 0, 64, print, NULL, NULL);
            if (status == MESHAGE_ERR_CLOSED)
                break;
            fflush(stdout);
        }
        if (ready[1].revents != 0) {
            char line[4096];
            ssize_t len = read(STDIN_FILENO, line, sizeof line);
            if (len <= 0)
                ready[1].fd = -1; /* The input has ended: continue to receive. */
            else
                send_to_all(node, line, (size_t)len - (line[len - 1] == '\n'));
        }
    }
    meshage_node_free(node);
    return 0;
}
