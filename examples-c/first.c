/* Says hello to every node that joins, and prints the messages that it receives. Run it two or more
 * times on one machine: ./first alice */
#include <meshage.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void print(void *unused, meshage_message *message)
{
    size_t len;
    const char *body = meshage_message_body(message, &len);
    (void)unused;
    printf("%s says \"%.*s\"\n", meshage_message_source(message), (int)len, body);
    fflush(stdout);
    meshage_message_free(message);
}

int main(int argc, char **argv)
{
    meshage_config *config = meshage_config_create(argc > 1 ? argv[1] : "c");
    meshage_node *node = NULL;
    meshage_event *event = NULL;
    int timeout = argc > 2 ? 1000 * atoi(argv[2]) : MESHAGE_INFINITE;

    meshage_config_namespace(config, "first");
    meshage_config_degree(config, 3);                     /* number of links */
    meshage_config_broadcast(config, "127.255.255.255");  /* this machine only */
    meshage_config_listen_port(config, 0);                /* any free port */
    if (meshage_node_create(config, &node) != MESHAGE_OK) {
        fprintf(stderr, "%s\n", meshage_last_error());
        return 1;
    }
    meshage_config_free(config);
    meshage_on_message(node, print, NULL, NULL);
    printf("%s looks for others\n", meshage_node_name(node));
    while (meshage_next_event(node, timeout, &event) == MESHAGE_OK) {
        const char *other = meshage_event_node(event);
        if (meshage_event_kind_of(event) == MESHAGE_EVENT_NODE_JOINED) {
            meshage_status status = meshage_set(node, &other, 1, "hello", strlen("hello"),
                                                MESHAGE_DEFAULT, NULL);
            printf("hello to %s: %s\n", other, meshage_strerror(status));
            fflush(stdout);
        }
        meshage_event_free(event);
    }
    meshage_node_free(node);
    return 0;
}
