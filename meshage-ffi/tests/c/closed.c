/* Every function on a closed node: the calls that need the mesh return CLOSED, and the others work
 * or have no effect, as the header says. */
#include "check.h"

#include <poll.h>

static void take(void *user_data, meshage_message *owned)
{
    count_up(user_data);
    meshage_message_free(owned);
}

static void look(void *user_data, const meshage_message *borrowed)
{
    (void)borrowed;
    count_up(user_data);
}

static void happen(void *user_data, const meshage_event *borrowed)
{
    (void)borrowed;
    count_up(user_data);
}

static void end(void *user_data, meshage_status status, meshage_report *owned)
{
    (void)status;
    meshage_report_free(owned);
    count_up(user_data);
}

static void sending(meshage_node *a)
{
    const char *to = "b";
    count called = COUNT_INIT;
    meshage_report *report = (meshage_report *)&called;
    meshage_op *op = (meshage_op *)&called;
    meshage_message *message = meshage_message_create("x", 1);
    STATUS(MESHAGE_ERR_CLOSED, meshage_set(a, &to, 1, "x", 1, SOON_MS, &report));
    CHECK(report == NULL);
    STATUS(MESHAGE_ERR_CLOSED, meshage_set(a, &to, 1, "x", 1, 0, NULL));
    STATUS(MESHAGE_ERR_CLOSED, meshage_set_with(a, &to, 1, "x", 1, NULL, NULL));
    STATUS(MESHAGE_ERR_CLOSED, meshage_broadcast(a, "x", 1, SOON_MS, NULL));
    STATUS(MESHAGE_ERR_CLOSED, meshage_broadcast_with(a, "x", 1, NULL, NULL));
    STATUS(MESHAGE_ERR_CLOSED, meshage_send(a, message, SOON_MS, NULL));
    STATUS(MESHAGE_ERR_CLOSED, meshage_send_with(a, message, NULL, NULL));
    STATUS(MESHAGE_ERR_CLOSED, meshage_send_async(a, message, SOON_MS, end, &called, &op));
    CHECK(op == NULL);
    STATUS(MESHAGE_ERR_CLOSED, meshage_send_async_with(a, message, NULL, end, &called, &op));
    CHECK(op == NULL && count_now(&called) == 0);
    meshage_message_free(message);
}

static void receiving(meshage_node *a)
{
    count called = COUNT_INIT;
    size_t handled = 7;
    struct pollfd fd = {-1, POLLIN, 0};
    meshage_message *message = receive(a);
    meshage_event *event;
    CHECK(body_is(message, "before"));
    meshage_message_free(message);
    STATUS(MESHAGE_ERR_CLOSED, meshage_recv(a, MESHAGE_INFINITE, &message));
    CHECK(message == NULL);
    STATUS(MESHAGE_ERR_CLOSED, meshage_recv(a, 0, &message));
    STATUS(MESHAGE_ERR_CLOSED, meshage_poll(a, SOON_MS, 1, take, &called, &handled));
    CHECK(handled == 0 && count_now(&called) == 0);
    OK(meshage_recv_fd(a, &fd.fd));
    CHECK(poll(&fd, 1, 0) == 1);
    while (meshage_next_event(a, SOON_MS, &event) == MESHAGE_OK)
        meshage_event_free(event);
    STATUS(MESHAGE_ERR_CLOSED, meshage_next_event(a, MESHAGE_INFINITE, &event));
    CHECK(event == NULL);
}

/* A callback cannot be set. It can be removed, which needs nothing of the node. */
static void callbacks(meshage_node *a)
{
    count dropped = COUNT_INIT;
    STATUS(MESHAGE_ERR_CLOSED, meshage_on_message(a, take, &dropped, count_drop));
    STATUS(MESHAGE_ERR_CLOSED, meshage_on_snoop(a, look, &dropped, count_drop));
    STATUS(MESHAGE_ERR_CLOSED, meshage_on_event(a, happen, &dropped, count_drop));
    CHECK(count_now(&dropped) == 3);
    OK(meshage_on_message(a, NULL, &dropped, count_drop));
    OK(meshage_on_snoop(a, NULL, &dropped, count_drop));
    OK(meshage_on_event(a, NULL, &dropped, count_drop));
    CHECK(count_now(&dropped) == 6);
}

static void settings_and_links(meshage_node *a, meshage_node *b)
{
    const char *own_name = "a";
    meshage_names *names = NULL;
    meshage_mesh *mesh = NULL;
    meshage_stats *stats = NULL;
    char *dot = NULL;
    size_t count = 1;
    time_t until = time(NULL) + SOON_MS / 1000;
    STATUS(MESHAGE_ERR_CLOSED, meshage_node_wait(a, &own_name, 1, 0));
    STATUS(MESHAGE_ERR_CLOSED, meshage_node_wait(a, NULL, 0, SOON_MS));
    STATUS(MESHAGE_ERR_CLOSED, meshage_dial(a, address_of(b), SOON_MS));
    STATUS(MESHAGE_ERR_CLOSED, meshage_hangup(a, "b"));
    STATUS(MESHAGE_ERR_INVALID, meshage_node_set_degree(a, 257));
    STATUS(MESHAGE_ERR_INVALID, meshage_node_set_msa_timeout(a, 99));
    OK(meshage_node_set_degree(a, 3));
    OK(meshage_node_set_msa_timeout(a, 2000));
    OK(meshage_node_msa(a));
    CHECK(strcmp(meshage_node_name(a), "a") == 0 && meshage_node_port(a) != 0);
    /* It leaves in the background. Then it knows only itself. */
    while (count > 0 && time(NULL) < until) {
        const struct timespec pause = {0, 2000000};
        nanosleep(&pause, NULL);
        OK(meshage_node_peers(a, &names));
        count = meshage_names_count(names);
        meshage_names_free(names);
    }
    CHECK(count == 0);
    OK(meshage_node_mesh(a, &mesh));
    CHECK(meshage_mesh_count(mesh) == 1);
    meshage_mesh_free(mesh);
    OK(meshage_broadcast_recipients(a, &names));
    CHECK(meshage_names_count(names) == 0);
    meshage_names_free(names);
    OK(meshage_node_dot(a, &dot));
    meshage_string_free(dot);
    OK(meshage_node_stats(a, &stats));
    meshage_stats_free(stats);
}

int main(void)
{
    meshage_node *a = start("a"), *b = start("b");
    join(a, b);
    OK(set_text(b, "a", "before"));
    meshage_node_close(a);
    sending(a);
    callbacks(a);
    receiving(a);
    settings_and_links(a, b);
    meshage_node_close(a);
    callbacks(a);
    sending(a);
    meshage_node_free(a);
    meshage_node_free(b);
    return 0;
}
