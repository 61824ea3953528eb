/* Events say which life of a node they concern and why they happened, and together with a snapshot
 * they give the whole mesh. */
#include "check.h"

#include <signal.h>
#include <sys/wait.h>

#define NODES 6
#define EVENTS_MAX 4096

static int peer(const char *address)
{
    meshage_node *node = start("killed");
    OK(meshage_dial(node, address, SOON_MS));
    for (;;)
        meshage_message_free(receive(node));
}

/* Waits for an event of this kind about this node. */
static meshage_event *await(meshage_node *node, int32_t kind, const char *name)
{
    for (;;) {
        meshage_event *event = NULL;
        OK(meshage_next_event(node, SOON_MS, &event));
        if (meshage_event_kind_of(event) == kind && !strcmp(meshage_event_node(event), name))
            return event;
        meshage_event_free(event);
    }
}

static uint64_t instance_of_next(meshage_node *node, int32_t kind, const char *name)
{
    meshage_event *event = await(node, kind, name);
    uint64_t instance = meshage_event_instance(event);
    CHECK(meshage_event_departure(event) == MESHAGE_DEPARTURE_NONE);
    CHECK(strcmp(meshage_event_reason(event), "") == 0);
    meshage_event_free(event);
    return instance;
}

static void ends(meshage_node *a, const char *name, uint64_t instance, int32_t departure)
{
    meshage_event *event = await(a, MESHAGE_EVENT_LINK_DOWN, name);
    CHECK(meshage_event_instance(event) == instance);
    CHECK(strlen(meshage_event_reason(event)) > 0);
    CHECK(meshage_event_departure(event) == MESHAGE_DEPARTURE_NONE);
    meshage_event_free(event);
    event = await(a, MESHAGE_EVENT_NODE_LEFT, name);
    CHECK(meshage_event_instance(event) == instance);
    CHECK(strlen(meshage_event_reason(event)) > 0);
    CHECK(meshage_event_departure(event) == departure);
    meshage_event_free(event);
}

static void a_closed_node_left(meshage_node *a)
{
    uint64_t instance;
    meshage_message *message;
    meshage_node *b = start("b");
    join(a, b);
    OK(set_text(b, "a", "x"));
    message = receive(a);
    instance = meshage_message_instance(message);
    meshage_message_free(message);
    CHECK(instance != 0);
    CHECK(instance_of_next(a, MESHAGE_EVENT_LINK_UP, "b") == instance);
    CHECK(instance_of_next(a, MESHAGE_EVENT_NODE_JOINED, "b") == instance);
    meshage_node_free(b);
    ends(a, "b", instance, MESHAGE_DEPARTURE_LEFT);
}

static void a_killed_node_failed(meshage_node *a, const char *program)
{
    uint64_t instance;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        execl(program, program, address_of(a), (char *)NULL);
        _exit(127);
    }
    instance = instance_of_next(a, MESHAGE_EVENT_NODE_JOINED, "killed");
    CHECK(instance != 0);
    CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
    ends(a, "killed", instance, MESHAGE_DEPARTURE_FAILED);
}

/* What a program knows of the nodes n0, n1 … */
struct view {
    pthread_mutex_t mutex;
    int32_t kinds[EVENTS_MAX];
    int nodes[EVENTS_MAX];
    size_t events;
};

static void note(struct view *view, int32_t kind, const char *name)
{
    if (name[0] != 'n' || (kind != MESHAGE_EVENT_NODE_JOINED && kind != MESHAGE_EVENT_NODE_LEFT))
        return;
    pthread_mutex_lock(&view->mutex);
    CHECK(view->events < EVENTS_MAX);
    view->kinds[view->events] = kind;
    view->nodes[view->events++] = name[1] - '0';
    pthread_mutex_unlock(&view->mutex);
}

static void on_event(void *user_data, const meshage_event *event)
{
    note(user_data, meshage_event_kind_of(event), meshage_event_node(event));
}

/* The nodes after all events, as bits. */
static unsigned after_events(struct view *view, unsigned known)
{
    size_t i;
    pthread_mutex_lock(&view->mutex);
    for (i = 0; i < view->events; i++) {
        if (view->kinds[i] == MESHAGE_EVENT_NODE_JOINED)
            known |= 1u << view->nodes[i];
        else
            known &= ~(1u << view->nodes[i]);
    }
    pthread_mutex_unlock(&view->mutex);
    return known;
}

static unsigned snapshot(meshage_node *node)
{
    unsigned known = 0;
    size_t i;
    meshage_mesh *mesh = NULL;
    OK(meshage_node_mesh(node, &mesh));
    for (i = 0; i < meshage_mesh_count(mesh); i++) {
        const char *name = meshage_mesh_name(mesh, i);
        if (name[0] == 'n')
            known |= 1u << (name[1] - '0');
    }
    meshage_mesh_free(mesh);
    return known;
}

/* The nodes of even numbers stay. */
#define STAYING 0x15u
static meshage_node *nodes[NODES];

static void *comings_and_goings(void *hub)
{
    char name[3] = "n0";
    int i;
    for (i = 0; i < NODES; i++) {
        name[1] = (char)('0' + i);
        nodes[i] = start(name);
        OK(meshage_dial(nodes[i], address_of(hub), SOON_MS));
        if (i % 2 == 1)
            meshage_node_free(nodes[i]);
    }
    return NULL;
}

/* A snapshot that is taken after the callback was set, at any time, and the events: nothing is
 * missed. The events of meshage_next_event alone, from the first: neither. */
static void nothing_is_missed(void)
{
    struct view view = {PTHREAD_MUTEX_INITIALIZER, {0}, {0}, 0}, queued = view;
    meshage_node *hub = start("hub");
    meshage_event *event = NULL;
    pthread_t thread;
    unsigned known;
    time_t until = time(NULL) + SOON_MS / 1000;
    const struct timespec pause = {0, 2000000};
    int i;
    CHECK(pthread_create(&thread, NULL, comings_and_goings, hub) == 0);
    meshage_event_free(await(hub, MESHAGE_EVENT_NODE_JOINED, "n0"));
    note(&queued, MESHAGE_EVENT_NODE_JOINED, "n0");
    OK(meshage_on_event(hub, on_event, &view, NULL));
    known = snapshot(hub);
    CHECK(pthread_join(thread, NULL) == 0);
    while (snapshot(hub) != STAYING || after_events(&view, known) != STAYING) {
        CHECK(time(NULL) < until);
        nanosleep(&pause, NULL);
    }
    while (meshage_next_event(hub, 0, &event) == MESHAGE_OK) {
        note(&queued, meshage_event_kind_of(event), meshage_event_node(event));
        meshage_event_free(event);
    }
    CHECK(after_events(&queued, 0) == STAYING);
    meshage_node_free(hub);
    for (i = 0; i < NODES; i += 2)
        meshage_node_free(nodes[i]);
}

int main(int argc, char **argv)
{
    meshage_node *a;
    if (argc > 1)
        return peer(argv[1]);
    a = start("a");
    a_closed_node_left(a);
    a_killed_node_failed(a, argv[0]);
    meshage_node_free(a);
    nothing_is_missed();
    return 0;
}
