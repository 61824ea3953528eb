/* Links, topology, events and counters. */
#include "check.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

/* A port on which no program listens. */
static uint16_t free_port(void)
{
    struct sockaddr_in at;
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    close(fd);
    return ntohs(at.sin_port);
}

static void port_in_use(void)
{
    meshage_node *first = start("first"), *second = (meshage_node *)&first;
    meshage_config *config = meshage_config_create("second");
    OK(meshage_config_bind(config, "127.0.0.1"));
    OK(meshage_config_port(config, meshage_node_port(first)));
    OK(meshage_config_listen_port(config, meshage_node_port(first)));
    STATUS(MESHAGE_ERR_ADDR_IN_USE, meshage_node_create(config, &second));
    CHECK(second == NULL);
    CHECK(strlen(meshage_last_error()) > 0);
    OK(meshage_config_bind(config, "192.0.2.1"));
    STATUS(MESHAGE_ERR_IO, meshage_node_create(config, &second));
    meshage_config_free(config);
    meshage_node_free(first);
}

static void dials(void)
{
    char unused[32];
    meshage_node *a = start("a"), *b = start("b"), *other_b = start("b");
    meshage_names *peers = NULL;
    snprintf(unused, sizeof unused, "127.0.0.1:%u", (unsigned)free_port());
    STATUS(MESHAGE_ERR_REFUSED, meshage_dial(a, unused, SOON_MS));
    STATUS(MESHAGE_ERR_SELF, meshage_dial(a, address_of(a), SOON_MS));
    STATUS(MESHAGE_ERR_INVALID, meshage_dial(a, "", SOON_MS));
    STATUS(MESHAGE_ERR_INVALID, meshage_dial(a, "127.0.0.1:65536", SOON_MS));
    STATUS(MESHAGE_ERR_IO, meshage_dial(a, "name.invalid:1", SOON_MS));
    join(a, b);
    STATUS(MESHAGE_ERR_EXISTS, meshage_dial(a, address_of(b), SOON_MS));
    STATUS(MESHAGE_ERR_EXISTS, meshage_dial(b, address_of(a), SOON_MS));
    OK(meshage_node_peers(a, &peers));
    CHECK(meshage_names_count(peers) == 1);
    CHECK(strcmp(meshage_names_get(peers, 0), "b") == 0);
    CHECK(meshage_names_get(peers, 1) == NULL);
    meshage_names_free(peers);
    OK(meshage_hangup(a, "b"));
    STATUS(MESHAGE_ERR_NOT_FOUND, meshage_hangup(a, "b"));
    meshage_node_free(other_b);
    meshage_node_free(b);
    meshage_node_free(a);
}

/* A peer that accepts the connection and sends nothing. */
static void dial_times_out(void)
{
    char address[32];
    struct sockaddr_in at;
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    meshage_node *a = start("a");
    memset(&at, 0, sizeof at);
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(bind(fd, (struct sockaddr *)&at, sizeof at) == 0 && listen(fd, 8) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&at, &len) == 0);
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)ntohs(at.sin_port));
    STATUS(MESHAGE_ERR_TIMEOUT, meshage_dial(a, address, 200));
    close(fd);
    meshage_node_free(a);
}

static void topology(void)
{
    const char *ends[2] = {"a", "c"};
    meshage_node *a = start("a"), *b = start("b"), *c = start("c");
    meshage_mesh *mesh = NULL;
    meshage_stats *stats = NULL;
    uint64_t value = 0;
    size_t i;
    char *dot = NULL;
    join(a, b);
    join(b, c);
    OK(meshage_node_wait(a, ends, 2, SOON_MS));
    OK(meshage_node_mesh(a, &mesh));
    CHECK(meshage_mesh_count(mesh) == 3);
    CHECK(strcmp(meshage_mesh_name(mesh, 1), "b") == 0);
    CHECK(meshage_mesh_degree(mesh, 0) == 1 && meshage_mesh_degree(mesh, 1) == 2);
    CHECK(strcmp(meshage_mesh_neighbor(mesh, 1, 1), "c") == 0);
    CHECK(meshage_mesh_name(mesh, 3) == NULL && meshage_mesh_degree(mesh, 3) == 0);
    CHECK(meshage_mesh_neighbor(mesh, 1, 2) == NULL && meshage_mesh_neighbor(mesh, 3, 0) == NULL);
    OK(meshage_node_dot(a, &dot));
    CHECK(strstr(dot, "graph") != NULL && strstr(dot, "\"c\"") != NULL);
    meshage_string_free(dot);
    OK(meshage_node_msa(a));
    OK(meshage_node_stats(a, &stats));
    CHECK(meshage_stats_count(stats) > 0);
    for (i = 0; i < meshage_stats_count(stats); i++) {
        OK(meshage_stats_get(stats, meshage_stats_name(stats, i), &value));
        CHECK(value == meshage_stats_value(stats, i));
    }
    CHECK(meshage_stats_name(stats, i) == NULL && meshage_stats_value(stats, i) == 0);
    STATUS(MESHAGE_ERR_NOT_FOUND, meshage_stats_get(stats, "no such counter", &value));
    meshage_stats_free(stats);
    STATUS(MESHAGE_ERR_NO_ROUTE, set_text(a, "d", "x"));
    ends[0] = "d";
    STATUS(MESHAGE_ERR_AGAIN, meshage_node_wait(a, ends, 1, 0));
    STATUS(MESHAGE_ERR_TIMEOUT, meshage_node_wait(a, ends, 1, 50));
    CHECK(strstr(meshage_last_error(), "d") != NULL);
    meshage_node_free(c);
    meshage_node_free(b);
    meshage_node_free(a);
    /* A snapshot outlives its node. */
    CHECK(meshage_mesh_count(mesh) == 3);
    meshage_mesh_free(mesh);
}

static void await(meshage_node *node, int32_t kind, const char *name)
{
    for (;;) {
        meshage_event *event = NULL;
        int found;
        OK(meshage_next_event(node, SOON_MS, &event));
        found = meshage_event_kind_of(event) == kind && !strcmp(meshage_event_node(event), name);
        meshage_event_free(event);
        if (found)
            return;
    }
}

struct seen {
    count up, dropped;
};

static void on_event(void *user_data, const meshage_event *event)
{
    struct seen *seen = user_data;
    if (meshage_event_kind_of(event) == MESHAGE_EVENT_LINK_UP) {
        CHECK(strcmp(meshage_event_node(event), "b") == 0);
        count_up(&seen->up);
    }
}

static void on_drop(void *user_data)
{
    count_up(&((struct seen *)user_data)->dropped);
}

static void events(void)
{
    struct seen seen = {COUNT_INIT, COUNT_INIT};
    meshage_node *a = start("a"), *b = start("b");
    meshage_event *event = (meshage_event *)&seen;
    STATUS(MESHAGE_ERR_AGAIN, meshage_next_event(a, 0, &event));
    CHECK(event == NULL);
    STATUS(MESHAGE_ERR_TIMEOUT, meshage_next_event(a, 20, &event));
    OK(meshage_on_event(a, on_event, &seen, on_drop));
    join(a, b);
    await(a, MESHAGE_EVENT_LINK_UP, "b");
    await(b, MESHAGE_EVENT_NODE_JOINED, "a");
    count_reaches(&seen.up, 1);
    OK(meshage_on_event(a, NULL, NULL, NULL));
    count_reaches(&seen.dropped, 1);
    meshage_node_free(b);
    await(a, MESHAGE_EVENT_NODE_LEFT, "b");
    CHECK(count_now(&seen.up) == 1 && count_now(&seen.dropped) == 1);
    meshage_node_close(a);
    while (meshage_next_event(a, SOON_MS, &event) == MESHAGE_OK)
        meshage_event_free(event);
    STATUS(MESHAGE_ERR_CLOSED, meshage_next_event(a, SOON_MS, &event));
    STATUS(MESHAGE_ERR_CLOSED, meshage_on_event(a, on_event, &seen, on_drop));
    CHECK(count_now(&seen.dropped) == 2);
    meshage_node_free(a);
}

int main(void)
{
    port_in_use();
    dials();
    dial_times_out();
    topology();
    events();
    return 0;
}
