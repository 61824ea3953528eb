/* Request and reply: a server that converts text to capitals, and a client.
 *
 *   ./request_reply serve [NAME [NAMESPACE [PORT [SECONDS]]]]
 *   ./request_reply ask TEXT [SERVER [NAME [NAMESPACE [PORT]]]]
 *
 * Messages have no replies. A number at the start of the body associates a reply with its request,
 * so that a late reply is not mistaken for that of another request. */
#include "example.h"

#include <ctype.h>

/* How long the client waits for the server to be reachable, and then for the reply. */
#define TIMEOUT_MS 10000

static int serve(const struct arguments *arguments)
{
    meshage_node *node = join_mesh(arguments);
    meshage_message *request = NULL;
    time_t end = end_of(arguments);
    printf("%s is ready\n", meshage_node_name(node));
    fflush(stdout);
    while (meshage_recv(node, remaining(end), &request) == MESHAGE_OK) {
        size_t len, i;
        const char *asked = meshage_message_body(request, &len);
        const char *client = meshage_message_source(request);
        char *reply = malloc(len + 1);
        meshage_status status;
        if (reply == NULL)
            return 1;
        for (i = 0; i < len; i++)
            reply[i] = (char)toupper((unsigned char)asked[i]);
        status = meshage_set(node, &client, 1, reply, len, MESHAGE_DEFAULT, NULL);
        printf("%s asked \"%.*s\": %s\n", client, (int)len, asked, meshage_strerror(status));
        fflush(stdout);
        free(reply);
        meshage_message_free(request);
    }
    meshage_node_free(node);
    return 0;
}

static int ask(const char *text, const char *server, const struct arguments *arguments)
{
    meshage_node *node = join_mesh(arguments);
    meshage_message *reply = NULL;
    char request[4096];
    unsigned number = (unsigned)time(NULL);
    int digits, found = 0;
    must(meshage_node_wait(node, &server, 1, TIMEOUT_MS), "the server");
    digits = snprintf(request, sizeof request, "%u ", number);
    snprintf(request + digits, sizeof request - (size_t)digits, "%s", text);
    must(meshage_set(node, &server, 1, request, strlen(request), TIMEOUT_MS, NULL), "the request");
    while (!found) {
        size_t len;
        const char *body;
        must(meshage_recv(node, TIMEOUT_MS, &reply), "the reply");
        body = meshage_message_body(reply, &len);
        found = len >= (size_t)digits && memcmp(body, request, (size_t)digits) == 0;
        if (found)
            printf("%.*s\n", (int)len - digits, body + digits);
        meshage_message_free(reply);
    }
    meshage_node_free(node);
    return 0;
}

int main(int argc, char **argv)
{
    struct arguments arguments;
    if (argc > 1 && strcmp(argv[1], "serve") == 0) {
        arguments = parse(argc, argv, 2, "server");
        return serve(&arguments);
    }
    if (argc > 2 && strcmp(argv[1], "ask") == 0) {
        arguments = parse(argc, argv, 4, "client");
        return ask(argv[2], argc > 3 ? argv[3] : "server", &arguments);
    }
    fprintf(stderr, "usage: request_reply serve [NAME [NAMESPACE [PORT [SECONDS]]]]\n"
                    "       request_reply ask TEXT [SERVER [NAME [NAMESPACE [PORT]]]]\n");
    return 2;
}
