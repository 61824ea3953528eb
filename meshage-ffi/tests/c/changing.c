/* A large broadcast while the mesh is still growing: the tree that it follows changes, and every
 * node still receives it completely. */
#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#define ROUNDS 8
#define BODY_BYTES ((size_t)48 << 20)

/* An unused UDP port, so that no datagrams of other programs on this machine arrive. */
static uint16_t free_port(void)
{
    struct sockaddr_in at;
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    close(fd);
    return ntohs(at.sin_port);
}

static meshage_node *start_discovering(const char *name, const char *ns, uint16_t port)
{
    meshage_node *node = NULL;
    meshage_config *config = meshage_config_create(name);
    OK(meshage_config_namespace(config, ns));
    OK(meshage_config_port(config, port));
    OK(meshage_config_listen_port(config, 0));
    OK(meshage_config_degree(config, 3));
    OK(meshage_config_broadcast(config, "127.255.255.255"));
    OK(meshage_node_create(config, &node));
    meshage_config_free(config);
    return node;
}

static void arrives(meshage_node *node, const unsigned char *sent)
{
    meshage_message *message = receive(node), *none = NULL;
    size_t len;
    const void *body = meshage_message_body(message, &len);
    CHECK(len == BODY_BYTES && memcmp(body, sent, len) == 0);
    meshage_message_free(message);
    STATUS(MESHAGE_ERR_AGAIN, meshage_recv(node, 0, &none));
}

int main(void)
{
    const char *others[2] = {"one", "two"};
    unsigned char *body = malloc(BODY_BYTES);
    size_t i;
    int round;
    CHECK(body != NULL);
    for (i = 0; i < BODY_BYTES; i++)
        body[i] = (unsigned char)(i * 7 + i / 251);
    for (round = 0; round < ROUNDS; round++) {
        uint16_t port = free_port();
        char ns[32];
        meshage_node *one, *two, *sender;
        snprintf(ns, sizeof ns, "changing-%ld-%d", (long)getpid(), round);
        one = start_discovering("one", ns, port);
        two = start_discovering("two", ns, port);
        sender = start_discovering("sender", ns, port);
        OK(meshage_node_wait(sender, others, 2, SOON_MS));
        OK(meshage_broadcast(sender, body, BODY_BYTES, SOON_MS, NULL));
        arrives(one, body);
        arrives(two, body);
        meshage_node_free(sender);
        meshage_node_free(one);
        meshage_node_free(two);
    }
    free(body);
    return 0;
}
