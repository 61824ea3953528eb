/* Shared by all test programs: checks that print where they failed, and nodes on loopback. */
#ifndef CHECK_H
#define CHECK_H

#ifndef _POSIX_C_SOURCE
#define _POSIX_C_SOURCE 200809L
#endif
#include <meshage.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Longer than any operation takes, also under valgrind: a wait of this length has failed. */
#define SOON_MS 30000

#define CHECK(holds)                                                                               \
    do {                                                                                           \
        if (!(holds)) {                                                                            \
            fprintf(stderr, "%s:%d: failed: %s (last error: %s)\n", __FILE__, __LINE__, #holds,    \
                    meshage_last_error());                                                         \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

#define STATUS(expected, call)                                                                     \
    do {                                                                                           \
        int got_ = (int)(call);                                                                    \
        if (got_ != (int)(expected)) {                                                             \
            fprintf(stderr, "%s:%d: %s: %d (%s), not %s: %s\n", __FILE__, __LINE__, #call, got_,   \
                    meshage_strerror(got_), #expected, meshage_last_error());                      \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

#define OK(call) STATUS(MESHAGE_OK, call)

static inline meshage_node *start_on(const char *name, uint16_t port, size_t queue)
{
    meshage_node *node = NULL;
    meshage_config *config = meshage_config_create(name);
    CHECK(config != NULL);
    OK(meshage_config_bind(config, "127.0.0.1"));
    OK(meshage_config_port(config, 0));
    OK(meshage_config_listen_port(config, port));
    OK(meshage_config_receive_buffer(config, queue));
    OK(meshage_node_create(config, &node));
    CHECK(node != NULL);
    meshage_config_free(config);
    return node;
}

/* Starts a node without discovery that listens on any free port of this machine. */
static inline meshage_node *start(const char *name)
{
    return start_on(name, 0, MESHAGE_RECEIVE_BUFFER);
}

static inline const char *address_of(const meshage_node *node)
{
    static __thread char address[32];
    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)meshage_node_port(node));
    return address;
}

static inline void wait_for(meshage_node *node, const char *name)
{
    OK(meshage_node_wait(node, &name, 1, SOON_MS));
}

/* Links two nodes and waits until each can reach the other. */
static inline void join(meshage_node *a, meshage_node *b)
{
    OK(meshage_dial(a, address_of(b), SOON_MS));
    wait_for(a, meshage_node_name(b));
    wait_for(b, meshage_node_name(a));
}

static inline meshage_status set_text(meshage_node *from, const char *to, const char *text)
{
    return meshage_set(from, &to, 1, text, strlen(text), SOON_MS, NULL);
}

static inline int body_is(const meshage_message *message, const char *text)
{
    size_t len = 0;
    const void *body = meshage_message_body(message, &len);
    return len == strlen(text) && memcmp(body, text, len) == 0;
}

static inline meshage_message *receive(meshage_node *node)
{
    meshage_message *message = NULL;
    OK(meshage_recv(node, SOON_MS, &message));
    CHECK(message != NULL);
    return message;
}

/* A counter that threads can wait for. */
typedef struct count {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    long value;
} count;

#define COUNT_INIT {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0}

static inline void count_up(count *c)
{
    pthread_mutex_lock(&c->mutex);
    c->value++;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->mutex);
}

static inline long count_now(count *c)
{
    long value;
    pthread_mutex_lock(&c->mutex);
    value = c->value;
    pthread_mutex_unlock(&c->mutex);
    return value;
}

#define count_reaches(c, least) count_reaches_by(c, least, __LINE__)

static inline void count_reaches_by(count *c, long least, int line)
{
    struct timespec until;
    int late = 0;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += SOON_MS / 1000;
    pthread_mutex_lock(&c->mutex);
    while (c->value < least && late == 0)
        late = pthread_cond_timedwait(&c->changed, &c->mutex, &until);
    pthread_mutex_unlock(&c->mutex);
    if (late != 0) {
        fprintf(stderr, "line %d: still %ld, not %ld\n", line, count_now(c), least);
        _exit(1);
    }
}

/* A drop function that counts its calls. */
static inline void count_drop(void *user_data)
{
    count_up((count *)user_data);
}

static inline void nap_ms(long ms)
{
    struct timespec t;
    t.tv_sec = ms / 1000;
    t.tv_nsec = ms % 1000 * 1000000;
    nanosleep(&t, NULL);
}

#endif
