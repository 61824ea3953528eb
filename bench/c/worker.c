/* The bench's worker for the C library (bench/README.md describes the protocol).
 *
 *   set_rtt              one thread, meshage_set
 *   set_64               64 threads, meshage_set
 *   set_window, large    one thread, meshage_send_async; a callback gets the reports
 *   memory               a node whose memory is measured
 *
 * With the option key=HEX, the nodes form a closed mesh.
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
/* The number of messages that the receiver takes at once. */
#define BATCH 1024
#define SMALL 64
#define THREADS_MAX 1024

static const char *const RECIPIENTS[] = {SERVER};

static void check(meshage_status status, const char *what)
{
    if (status != MESHAGE_OK)
        fail(what, meshage_last_error());
}

/* Starts a node of degree 0 on a free loopback port. It links only to the nodes that it dials. */
static meshage_node *start(const struct job *job, const char *name)
{
    char name_space[64];
    /* All processes of a run have the same parent. */
    snprintf(name_space, sizeof name_space, "bench-%ld", (long)getppid());
    meshage_config *config = meshage_config_create(name);
    check(meshage_config_namespace(config, name_space), "namespace");
    check(meshage_config_bind(config, "127.0.0.1"), "bind");
    check(meshage_config_port(config, 0), "port");
    const char *key = text_option(job, "key", NULL);
    if (key != NULL)
        check(meshage_config_key(config, (const uint8_t *)key, strlen(key)), "key");
    meshage_node *node = NULL;
    check(meshage_node_create(config, &node), "node");
    meshage_config_free(config);
    return node;
}

static meshage_node *linked_node(const struct job *job)
{
    char name[64];
    snprintf(name, sizeof name, "driver-%ld", (long)getpid());
    meshage_node *node = start(job, name);
    check(meshage_dial(node, text_option(job, "to", ""), MESHAGE_DEFAULT), "dial");
    check(meshage_node_wait(node, RECIPIENTS, 1, LINKED_MAX_MS), "wait");
    return node;
}

static void drop_message(void *user_data, meshage_message *owned)
{
    (void)user_data;
    meshage_message_free(owned);
}

static void *receive_all(void *node)
{
    while (meshage_poll(node, MESHAGE_INFINITE, BATCH, drop_message, NULL, NULL) == MESHAGE_OK) {
    }
    return NULL;
}

static void serve(const struct job *job)
{
    meshage_node *node = start(job, SERVER);
    pthread_t receiver;
    if (pthread_create(&receiver, NULL, receive_all, node) != 0)
        fail("serve", "cannot start a thread");
    printf("ready 127.0.0.1:%u\n", (unsigned)meshage_node_port(node));
    fflush(stdout);
    wait_for_end_of_input();
    meshage_node_close(node);
    pthread_join(receiver, NULL);
    meshage_node_free(node);
}

/* The outstanding sends. The sending thread increments the count, the callback decrements it. */
struct outstanding {
    atomic_size_t count;
    atomic_size_t failed;
    /* The sending thread waits until no more than this number is outstanding. */
    atomic_size_t limit;
    pthread_mutex_t lock;
    pthread_cond_t reached;
};

/* The state that the rounds of a driver share. */
struct drive {
    meshage_node *node;
    size_t window;
    size_t size;
    char *body;
    /* Lives as long as the node: its last callback may return after the sending thread continued. */
    struct outstanding sends;
};

static struct figures round_trips(void *context, double milliseconds)
{
    struct drive *drive = context;
    struct figures figures = {0};
    size_t capacity = 1 << 16;
    figures.times = malloc(capacity * sizeof *figures.times);
    double before = now_us(), end = before + milliseconds * 1e3;
    while (before < end) {
        check(meshage_set(drive->node, RECIPIENTS, 1, drive->body, drive->size, MESHAGE_DEFAULT,
                          NULL), "set");
        if (figures.count == capacity)
            figures.times = realloc(figures.times, (capacity *= 2) * sizeof *figures.times);
        double after = now_us();
        figures.times[figures.count++] = after - before;
        before = after;
    }
    return figures;
}

/* One of the threads that send. */
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
            fail("set_64", "cannot start a thread");
    }
    for (size_t i = 0; i < drive->window; i++) {
        pthread_join(callers[i].thread, NULL);
        figures.count += callers[i].sent;
    }
    figures.rate = (double)figures.count / (now_us() - start) * 1e6;
    return figures;
}

/* The value of `limit` while no thread waits. */
#define NO_LIMIT SIZE_MAX

static void handle_report(void *user_data, meshage_status status, meshage_report *owned)
{
    struct outstanding *sends = user_data;
    meshage_report_free(owned);
    if (status != MESHAGE_OK)
        atomic_fetch_add(&sends->failed, 1);
    if (atomic_fetch_sub(&sends->count, 1) - 1 == atomic_load(&sends->limit)) {
        pthread_mutex_lock(&sends->lock);
        pthread_cond_signal(&sends->reached);
        pthread_mutex_unlock(&sends->lock);
    }
}

static void wait_until(struct outstanding *sends, size_t limit)
{
    pthread_mutex_lock(&sends->lock);
    atomic_store(&sends->limit, limit);
    while (atomic_load(&sends->count) > limit)
        pthread_cond_wait(&sends->reached, &sends->lock);
    atomic_store(&sends->limit, NO_LIMIT);
    pthread_mutex_unlock(&sends->lock);
}

static struct figures windowed(void *context, double milliseconds)
{
    struct drive *drive = context;
    struct outstanding *sends = &drive->sends;
    struct figures figures = {0};
    meshage_message *message = meshage_message_create(drive->body, drive->size);
    check(meshage_message_add_recipient(message, SERVER), "recipient");
    double start = now_us(), end = start + milliseconds * 1e3;
    while (now_us() < end) {
        if (atomic_load(&sends->count) == drive->window)
            wait_until(sends, drive->window - 1);
        atomic_fetch_add(&sends->count, 1);
        meshage_status status = meshage_send_async(drive->node, message, MESHAGE_DEFAULT, handle_report,
                                                   sends, NULL);
        if (status == MESHAGE_OK) {
            figures.count++;
            continue;
        }
        if (status != MESHAGE_ERR_AGAIN)
            check(status, "send");
        /* The node's queue is full. It has room again after the next acknowledgement. */
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
        .node = linked_node(job),
        .window = number_option(job, "window", 1),
        .size = number_option(job, "size", SMALL),
        .sends = {.limit = NO_LIMIT,
                  .lock = PTHREAD_MUTEX_INITIALIZER,
                  .reached = PTHREAD_COND_INITIALIZER}};
    drive.body = malloc(drive.size);
    memset(drive.body, 'x', drive.size);
    if (drive.window == 0 || drive.window > THREADS_MAX)
        fail("window", "must be from 1 to 1024");
    if (equals(job->name, "set_rtt"))
        run_rounds(round_trips, &drive);
    else if (equals(job->name, "set_64"))
        run_rounds(callers, &drive);
    else
        run_rounds(windowed, &drive);
    meshage_node_free(drive.node);
    free(drive.body);
}

int main(int argc, char **argv)
{
    struct job job = parse_job(argc, argv);
    const char *cases[] = {"set_rtt", "set_64", "set_window", "large", "memory"};
    bool known = false;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        known = known || equals(job.name, cases[i]);
    if (known && equals(job.role, "serve"))
        serve(&job);
    else if (known && equals(job.role, "drive") && !equals(job.name, "memory"))
        drive(&job);
    else
        fail(job.name, "this case or role is not supported");
    return EXIT_SUCCESS;
}
