/* The bench's worker for the C library (bench/README.md has the protocol).
 *
 *   set_rtt              one thread, meshage_set
 *   set_64               64 threads, meshage_set
 *   set_window, large    one thread, meshage_send_async; reports come to a callback
 *   memory               a node to look at
 *
 *   cc -O2 -Iinclude bench/c/worker.c -lmeshage -lpthread
 */

#define _POSIX_C_SOURCE 200809L

#include <meshage.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "protocol.h"

#define SERVER "server"
#define LINKED_MAX_MS 10000
/* How many messages the receiver takes at once. */
#define BATCH 1024
#define SMALL 64
#define THREADS_MAX 1024

static const char *const RECIPIENTS[] = {SERVER};

static void check(meshage_status status, const char *what)
{
    if (status != MESHAGE_OK)
        fail(what, meshage_last_error());
}

/* A node of degree 0 on a free port of the loopback: it links to what it dials, and nothing else. */
static meshage_node *start(const char *name)
{
    char space[64];
    /* The processes of one run have one parent. */
    snprintf(space, sizeof space, "bench-%ld", (long)getppid());
    meshage_config *config = meshage_config_create(name);
    check(meshage_config_namespace(config, space), "namespace");
    check(meshage_config_bind(config, "127.0.0.1"), "bind");
    check(meshage_config_port(config, 0), "port");
    meshage_node *node = NULL;
    check(meshage_node_create(config, &node), "node");
    meshage_config_free(config);
    return node;
}

static meshage_node *joined(const struct job *job)
{
    char name[64];
    snprintf(name, sizeof name, "driver-%ld", (long)getpid());
    meshage_node *node = start(name);
    check(meshage_dial(node, word_of(job, "to", ""), MESHAGE_DEFAULT), "dial");
    check(meshage_node_wait(node, RECIPIENTS, 1, LINKED_MAX_MS), "wait");
    return node;
}

static void drop_message(void *user_data, meshage_message *owned)
{
    (void)user_data;
    meshage_message_free(owned);
}

static void *take_all(void *node)
{
    while (meshage_poll(node, MESHAGE_INFINITE, BATCH, drop_message, NULL, NULL) == MESHAGE_OK) {
    }
    return NULL;
}

static void serve(void)
{
    meshage_node *node = start(SERVER);
    pthread_t taker;
    if (pthread_create(&taker, NULL, take_all, node) != 0)
        fail("serve", "no thread");
    printf("ready 127.0.0.1:%u\n", (unsigned)meshage_node_port(node));
    fflush(stdout);
    wait_for_end_of_input();
    meshage_node_close(node);
    pthread_join(taker, NULL);
    meshage_node_free(node);
}

/* How many sends are under way: the sending thread counts up, the callback down. */
struct under_way {
    atomic_size_t count;
    atomic_size_t failed;
    /* What the sending thread waits for: that no more than this are under way. */
    atomic_size_t wanted;
    pthread_mutex_t lock;
    pthread_cond_t reached;
};

/* What a driver's rounds share. */
struct drive {
    meshage_node *node;
    size_t window;
    size_t size;
    char *body;
    /* Lives as long as the node: its last callback may end after the sending thread has gone on. */
    struct under_way sends;
};

static struct figures round_trips(void *context, double milliseconds)
{
    struct drive *drive = context;
    struct figures figures = {0};
    size_t room = 1 << 16;
    figures.times = malloc(room * sizeof *figures.times);
    double before = now_us(), end = before + milliseconds * 1e3;
    while (before < end) {
        check(meshage_set(drive->node, RECIPIENTS, 1, drive->body, drive->size, MESHAGE_DEFAULT,
                          NULL), "set");
        if (figures.count == room)
            figures.times = realloc(figures.times, (room *= 2) * sizeof *figures.times);
        double after = now_us();
        figures.times[figures.count++] = after - before;
        before = after;
    }
    return figures;
}

/* One of many threads that send. */
struct caller {
    pthread_t thread;
    struct drive *drive;
    double end;
    size_t sent;
};

static void *call(void *context)
{
    struct caller *caller = context;
    struct drive *drive = caller->drive;
    while (now_us() < caller->end) {
        check(meshage_set(drive->node, RECIPIENTS, 1, drive->body, drive->size, MESHAGE_DEFAULT,
                          NULL), "set");
        caller->sent++;
    }
    return NULL;
}

static struct figures callers(void *context, double milliseconds)
{
    struct drive *drive = context;
    struct caller callers[THREADS_MAX];
    struct figures figures = {0};
    double start = now_us();
    for (size_t i = 0; i < drive->window; i++) {
        callers[i] = (struct caller){.drive = drive, .end = start + milliseconds * 1e3};
        if (pthread_create(&callers[i].thread, NULL, call, &callers[i]) != 0)
            fail("set_64", "no thread");
    }
    for (size_t i = 0; i < drive->window; i++) {
        pthread_join(callers[i].thread, NULL);
        figures.count += callers[i].sent;
    }
    figures.rate = (double)figures.count / (now_us() - start) * 1e6;
    return figures;
}

/* Of `wanted`: nobody waits. */
#define NOTHING SIZE_MAX

static void reported(void *user_data, meshage_status status, meshage_report *owned)
{
    struct under_way *sends = user_data;
    meshage_report_free(owned);
    if (status != MESHAGE_OK)
        atomic_fetch_add(&sends->failed, 1);
    if (atomic_fetch_sub(&sends->count, 1) - 1 == atomic_load(&sends->wanted)) {
        pthread_mutex_lock(&sends->lock);
        pthread_cond_signal(&sends->reached);
        pthread_mutex_unlock(&sends->lock);
    }
}

static void wait_until(struct under_way *sends, size_t wanted)
{
    pthread_mutex_lock(&sends->lock);
    atomic_store(&sends->wanted, wanted);
    while (atomic_load(&sends->count) > wanted)
        pthread_cond_wait(&sends->reached, &sends->lock);
    atomic_store(&sends->wanted, NOTHING);
    pthread_mutex_unlock(&sends->lock);
}

static struct figures windowed(void *context, double milliseconds)
{
    struct drive *drive = context;
    struct under_way *sends = &drive->sends;
    struct figures figures = {0};
    meshage_message *message = meshage_message_create(drive->body, drive->size);
    check(meshage_message_add_recipient(message, SERVER), "recipient");
    double start = now_us(), end = start + milliseconds * 1e3;
    while (now_us() < end) {
        if (atomic_load(&sends->count) == drive->window)
            wait_until(sends, drive->window - 1);
        atomic_fetch_add(&sends->count, 1);
        meshage_status status = meshage_send_async(drive->node, message, MESHAGE_DEFAULT, reported,
                                                   sends, NULL);
        if (status == MESHAGE_OK) {
            figures.count++;
            continue;
        }
        if (status != MESHAGE_ERR_AGAIN)
            check(status, "send");
        /* The node's own queue is full: there is room again once something was acknowledged. */
        size_t others = atomic_fetch_sub(&sends->count, 1) - 1;
        if (others > 0)
            wait_until(sends, others - 1);
    }
    wait_until(sends, 0);
    double took = now_us() - start;
    meshage_message_free(message);
    if (sends->failed > 0)
        fail("send", "a message was not delivered");
    double units = (double)figures.count;
    if (drive->size != SMALL)
        units *= (double)drive->size / 1e6;
    figures.rate = units / took * 1e6;
    return figures;
}

static void drive(const struct job *job)
{
    struct drive drive = {
        .node = joined(job),
        .window = number_of(job, "window", 1),
        .size = number_of(job, "size", SMALL),
        .sends = {.wanted = NOTHING,
                  .lock = PTHREAD_MUTEX_INITIALIZER,
                  .reached = PTHREAD_COND_INITIALIZER}};
    drive.body = malloc(drive.size);
    memset(drive.body, 'x', drive.size);
    if (drive.window == 0 || drive.window > THREADS_MAX)
        fail("window", "from 1 to 1024");
    if (is(job->name, "set_rtt"))
        rounds(round_trips, &drive);
    else if (is(job->name, "set_64"))
        rounds(callers, &drive);
    else
        rounds(windowed, &drive);
    meshage_node_free(drive.node);
    free(drive.body);
}

int main(int argc, char **argv)
{
    struct job job = job_of(argc, argv);
    const char *cases[] = {"set_rtt", "set_64", "set_window", "large", "memory"};
    bool known = false;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        known = known || is(job.name, cases[i]);
    if (known && is(job.role, "serve"))
        serve();
    else if (known && is(job.role, "drive") && !is(job.name, "memory"))
        drive(&job);
    else
        fail(job.name, "no such case or role");
    return EXIT_SUCCESS;
}
