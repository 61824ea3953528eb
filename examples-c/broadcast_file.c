/* Sends a file to every node, in one message.
 *
 *   ./broadcast_file receive FILE [NAME [NAMESPACE [PORT [SECONDS]]]]
 *   ./broadcast_file send FILE [RECEIVERS [NAME [NAMESPACE [PORT]]]]
 *
 * The receiver writes the file that it receives to FILE. The sender first waits until RECEIVERS
 * nodes are reachable. A message holds up to 64 MiB by default; meshage_config_max_message changes
 * that. */
#include "example.h"

/* How long the sender waits for receivers, and then for their acknowledgements. */
#define TIMEOUT_MS 60000

static void *read_file(const char *path, size_t *len)
{
    FILE *file = fopen(path, "rb");
    long size;
    void *bytes;
    if (file == NULL || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0)
        return NULL;
    rewind(file);
    *len = (size_t)size;
    bytes = malloc(*len + 1);
    if (bytes != NULL && fread(bytes, 1, *len, file) != *len) {
        free(bytes);
        bytes = NULL;
    }
    fclose(file);
    return bytes;
}

static void await_receivers(meshage_node *node, size_t count)
{
    for (;;) {
        meshage_names *names = NULL;
        meshage_event *event = NULL;
        size_t reachable;
        must(meshage_broadcast_recipients(node, &names), "the recipients");
        reachable = meshage_names_count(names);
        meshage_names_free(names);
        if (reachable >= count)
            return;
        must(meshage_next_event(node, TIMEOUT_MS, &event), "receivers");
        meshage_event_free(event);
    }
}

static int send_file(const char *path, size_t receivers, const struct arguments *arguments)
{
    meshage_node *node = join_mesh(arguments);
    meshage_report *report = NULL;
    meshage_status status;
    size_t len = 0, i;
    void *bytes = read_file(path, &len);
    if (bytes == NULL) {
        perror(path);
        return 1;
    }
    await_receivers(node, receivers);
    status = meshage_broadcast(node, bytes, len, TIMEOUT_MS, &report);
    if (report == NULL) /* The message was not sent, for example because it is too large. */
        must(status, path);
    for (i = 0; i < meshage_report_count(report); i++)
        printf("%s: %s\n", meshage_report_recipient(report, i),
               meshage_strerror(meshage_report_status(report, i)));
    printf("%zu bytes to %zu of %zu nodes\n", len, meshage_report_delivered(report),
           meshage_report_count(report));
    meshage_report_free(report);
    meshage_node_free(node);
    free(bytes);
    return status == MESHAGE_OK ? 0 : 1;
}

static int receive_file(const char *path, const struct arguments *arguments)
{
    meshage_node *node = join_mesh(arguments);
    meshage_message *message = NULL;
    const void *bytes;
    size_t len;
    FILE *file = fopen(path, "wb");
    if (file == NULL) {
        perror(path);
        return 1;
    }
    must(meshage_recv(node, remaining(end_of(arguments)), &message), "a file");
    bytes = meshage_message_body(message, &len); /* Not copied. */
    if (fwrite(bytes, 1, len, file) != len || fclose(file) != 0) {
        perror(path);
        return 1;
    }
    printf("%zu bytes from %s\n", len, meshage_message_source(message));
    meshage_message_free(message);
    meshage_node_free(node);
    return 0;
}

int main(int argc, char **argv)
{
    struct arguments arguments;
    if (argc > 2 && strcmp(argv[1], "receive") == 0) {
        arguments = parse(argc, argv, 3, "receiver");
        return receive_file(argv[2], &arguments);
    }
    if (argc > 2 && strcmp(argv[1], "send") == 0) {
        size_t receivers = argc > 3 ? strtoul(argv[3], NULL, 10) : 1;
        arguments = parse(argc, argv, 4, "sender");
        return send_file(argv[2], receivers, &arguments);
    }
    fprintf(stderr, "usage: broadcast_file receive FILE [NAME [NAMESPACE [PORT [SECONDS]]]]\n"
                    "       broadcast_file send FILE [RECEIVERS [NAME [NAMESPACE [PORT]]]]\n");
    return 2;
}
