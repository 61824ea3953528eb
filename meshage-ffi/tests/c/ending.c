/* Every call works at the end of a thread and of the program, after the thread-locals of the library
 * are destroyed: in the destructor of a thread's data, in atexit handlers, in a destructor function.
 *
 * Prints a line for each of these places. */
#include "check.h"

static meshage_node *a, *b;

static void ended(void *user_data, meshage_status status, meshage_report *report)
{
    OK(status);
    meshage_report_free(report);
    count_up(user_data);
}

static void take(void *user_data, meshage_message *message)
{
    meshage_message_free(message);
    count_up(user_data);
}

static void seen(void *user_data, int32_t level, const char *target, const char *text)
{
    (void)user_data, (void)level, (void)target, (void)text;
}

static void talk(const char *place, meshage_node *from, meshage_node *to)
{
    meshage_event *event = NULL;
    meshage_message *message = meshage_message_create("async", 5);
    meshage_mesh *mesh = NULL;
    meshage_stats *stats = NULL;
    meshage_op *op = NULL;
    char copy[128];
    count done = COUNT_INIT;
    const char *name = meshage_node_name(to);
    OK(set_text(from, name, place));
    meshage_message_free(receive(to));
    OK(meshage_broadcast(from, place, strlen(place), SOON_MS, NULL));
    meshage_message_free(receive(to));
    OK(meshage_send_async(from, message, SOON_MS, ended, &done, &op));
    count_reaches(&done, 1);
    meshage_op_free(op);
    meshage_message_free(receive(to));
    OK(meshage_on_message(to, take, &done, count_drop));
    OK(meshage_send(from, message, SOON_MS, NULL));
    count_reaches(&done, 2);
    OK(meshage_on_message(to, NULL, NULL, NULL));
    count_reaches(&done, 3);
    meshage_message_free(message);
    /* Errors have their text. */
    STATUS(MESHAGE_ERR_NO_ROUTE, set_text(from, "nobody", "x"));
    CHECK(strlen(meshage_last_error()) > 0);
    STATUS(MESHAGE_ERR_TIMEOUT, meshage_recv(from, 20, &message));
    STATUS(MESHAGE_ERR_AGAIN, meshage_recv(from, 0, &message));
    name = "nobody";
    STATUS(MESHAGE_ERR_TIMEOUT, meshage_node_wait(from, &name, 1, 20));
    CHECK(strstr(meshage_last_error(), "nobody") != NULL);
    CHECK(meshage_last_error_copy(copy, sizeof copy) == strlen(meshage_last_error()));
    STATUS(MESHAGE_ERR_NOT_FOUND, meshage_hangup(from, "nobody"));
    CHECK(meshage_dial(from, "127.0.0.1:1", SOON_MS) != MESHAGE_OK);
    CHECK(meshage_dial(from, "localhost:1", SOON_MS) != MESHAGE_OK);
    OK(meshage_node_mesh(from, &mesh));
    CHECK(strlen(meshage_last_error()) == 0);
    meshage_mesh_free(mesh);
    OK(meshage_node_stats(from, &stats));
    meshage_stats_free(stats);
    while (meshage_next_event(from, 0, &event) == MESHAGE_OK)
        meshage_event_free(event);
    STATUS(MESHAGE_ERR_TIMEOUT, meshage_next_event(from, 20, &event));
}

/* Everything with the nodes of the program, and the life of two nodes of its own. */
static void everything(const char *place)
{
    meshage_node *x, *y;
    if (a != NULL)
        talk(place, a, b);
    x = start("x");
    y = start("y");
    join(x, y);
    talk(place, x, y);
    OK(meshage_hangup(x, "y"));
    join(x, y);
    meshage_node_close(y);
    meshage_node_free(y);
    meshage_node_free(x);
    printf("%s\n", place);
    fflush(stdout);
}

static void at_exit(void)
{
    everything("an atexit handler");
    meshage_node_free(b);
    meshage_node_free(a);
    a = b = NULL;
}

static void at_exit_later(void)
{
    everything("a later atexit handler");
    OK(meshage_on_log(0, NULL, NULL, NULL));
}

__attribute__((destructor)) static void destructor(void)
{
    everything("a destructor function");
}

static void thread_data_destructor(void *place)
{
    everything(place);
}

static pthread_key_t key;

static void *thread(void *place)
{
    CHECK(pthread_setspecific(key, place) == 0);
    if (strcmp(place, "a thread that used the library") == 0)
        talk(place, a, b);
    return NULL;
}

static void run(char *place)
{
    pthread_t id;
    CHECK(pthread_create(&id, NULL, thread, place) == 0);
    CHECK(pthread_join(id, NULL) == 0);
}

/* With an argument, the ends of threads are left out: glibc never frees a thread-local that is first
 * used there, which leak checkers report. */
int main(int argc, char **argv)
{
    static char used[] = "a thread that used the library", unused[] = "a thread that did not";
    OK(meshage_on_log(5, seen, NULL, NULL));
    CHECK(atexit(at_exit_later) == 0);
    CHECK(atexit(at_exit) == 0);
    CHECK(pthread_key_create(&key, thread_data_destructor) == 0);
    a = start("a");
    b = start("b");
    join(a, b);
    (void)argv;
    if (argc == 1) {
        run(used);
        run(unused);
    }
    everything("main");
    return 0;
}
