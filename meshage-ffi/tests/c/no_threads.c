/* Without a thread to be had, each call that needs one fails with IO and says what to do; what is
 * there goes on, and once there are threads again, everything works. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif
#include "check.h"

#include <sys/resource.h>

/* Shorter than a dial, which ends after 10 s at the latest. */
#define PROMPTLY_MS 5000

static void allow_threads(rlim_t threads)
{
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NPROC, &limit) == 0);
    limit.rlim_cur = threads;
    CHECK(setrlimit(RLIMIT_NPROC, &limit) == 0);
}

static void *nothing(void *unused)
{
    return unused;
}

static int thread_starts(void)
{
    pthread_t id;
    if (pthread_create(&id, NULL, nothing, NULL) != 0)
        return 0;
    CHECK(pthread_join(id, NULL) == 0);
    return 1;
}

static void take(void *user_data, meshage_message *message)
{
    meshage_message_free(message);
    count_up(user_data);
}

static void snoop(void *user_data, const meshage_message *message)
{
    (void)user_data, (void)message;
}

static void event(void *user_data, const meshage_event *event)
{
    (void)user_data, (void)event;
}

static void ended(void *user_data, meshage_status status, meshage_report *report)
{
    OK(status);
    meshage_report_free(report);
    count_up(user_data);
}

static void says_what_to_do(void)
{
    CHECK(strstr(meshage_last_error(), "no thread could be started") != NULL);
    CHECK(strstr(meshage_last_error(), "RLIMIT_NPROC") != NULL);
}

/* A node without discovery. */
static meshage_status create(const char *name, uint32_t threads, const char *seed,
                             meshage_node **out)
{
    meshage_config *config = meshage_config_create(name);
    meshage_status status;
    OK(meshage_config_bind(config, "127.0.0.1"));
    OK(meshage_config_port(config, 0));
    OK(meshage_config_listen_port(config, 0));
    OK(meshage_config_worker_threads(config, threads));
    if (seed != NULL)
        OK(meshage_config_seed_address(config, seed));
    status = meshage_node_create(config, out);
    meshage_config_free(config);
    return status;
}

int main(void)
{
    count dropped = COUNT_INIT, done = COUNT_INIT;
    meshage_message *message = meshage_message_create("x", 1);
    meshage_node *a = NULL, *b = NULL, *c = NULL;
    char named[32];
    /* The limit counts the threads of a user, and does not bind root. */
    if (geteuid() == 0 && setuid(60000 + (uid_t)getpid() % 5000) != 0) {
        printf("skipped: root cannot become another user\n");
        return 0;
    }
    allow_threads(1);
    if (thread_starts()) {
        printf("skipped: the limit on threads does not bind\n");
        return 0;
    }
    STATUS(MESHAGE_ERR_IO, create("a", 1, NULL, &a));
    CHECK(a == NULL);
    says_what_to_do();
    STATUS(MESHAGE_ERR_IO, create("a", 4, NULL, &a));
    says_what_to_do();

    if (geteuid() < 60000) {
        printf("skipped: other programs of this user run\n");
        return 0;
    }
    allow_threads(3);
    STATUS(MESHAGE_ERR_IO, create("a", 4, NULL, &a));
    CHECK(a == NULL);
    says_what_to_do();
    OK(create("a", 1, NULL, &a));
    snprintf(named, sizeof named, "localhost:%u", (unsigned)meshage_node_port(a));
    OK(create("b", 1, named, &b));
    CHECK(!thread_starts());
    STATUS(MESHAGE_ERR_IO, meshage_dial(b, named, PROMPTLY_MS));
    says_what_to_do();
    STATUS(MESHAGE_ERR_IO, meshage_on_message(b, take, &dropped, count_drop));
    count_reaches(&dropped, 1);
    STATUS(MESHAGE_ERR_IO, meshage_on_snoop(b, snoop, &dropped, count_drop));
    count_reaches(&dropped, 2);
    STATUS(MESHAGE_ERR_IO, meshage_on_event(b, event, &dropped, count_drop));
    count_reaches(&dropped, 3);
    STATUS(MESHAGE_ERR_IO, meshage_send_async(b, message, SOON_MS, ended, &done, NULL));
    /* What needs no thread works. */
    OK(meshage_dial(a, address_of(b), SOON_MS));
    wait_for(a, "b");
    OK(set_text(a, "b", "by address"));
    meshage_message_free(receive(b));
    OK(meshage_hangup(a, "b"));

    /* The seed was dialled in vain so far; now it is resolved, and the node links by itself. */
    STATUS(MESHAGE_ERR_IO, create("c", 1, NULL, &c));
    allow_threads(64);
    wait_for(b, "a");
    wait_for(a, "b");
    OK(meshage_on_message(b, take, &done, NULL));
    OK(meshage_on_snoop(b, snoop, NULL, NULL));
    OK(meshage_send_async(a, message, SOON_MS, ended, &done, NULL));
    count_reaches(&done, 2);
    OK(create("c", 4, NULL, &c));
    OK(meshage_dial(c, named, SOON_MS));
    allow_threads(1);
    meshage_node_free(c);
    meshage_node_free(b);
    meshage_node_free(a);
    meshage_message_free(message);
    return 0;
}
