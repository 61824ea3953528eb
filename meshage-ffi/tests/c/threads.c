/* Many threads use the same two nodes: no message is lost or duplicated, and each sender's messages
 * arrive in order. */
#include "check.h"

#define SENDERS 8
#define RECEIVERS 3
#define MESSAGES 200

static meshage_node *a, *b;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int seen[SENDERS][MESSAGES];
static count received = COUNT_INIT;

static void *sends(void *data)
{
    const char *to = "b";
    unsigned char body[2];
    int number;
    body[0] = (unsigned char)(size_t)data;
    for (number = 0; number < MESSAGES; number++) {
        body[1] = (unsigned char)number;
        OK(meshage_set(a, &to, 1, body, sizeof body, SOON_MS, NULL));
    }
    return NULL;
}

static void *receives(void *data)
{
    meshage_message *message = NULL;
    meshage_status status;
    int last[SENDERS], i;
    (void)data;
    for (i = 0; i < SENDERS; i++)
        last[i] = -1;
    while ((status = meshage_recv(b, MESHAGE_INFINITE, &message)) == MESHAGE_OK) {
        size_t len;
        const unsigned char *body = meshage_message_body(message, &len);
        CHECK(len == 2 && body[0] < SENDERS && body[1] < MESSAGES);
        CHECK(body[1] > last[body[0]]);
        last[body[0]] = body[1];
        pthread_mutex_lock(&mutex);
        seen[body[0]][body[1]]++;
        pthread_mutex_unlock(&mutex);
        meshage_message_free(message);
        count_up(&received);
    }
    STATUS(MESHAGE_ERR_CLOSED, status);
    return NULL;
}

static void *reads_snapshots(void *data)
{
    (void)data;
    while (count_now(&received) < SENDERS * MESSAGES) {
        meshage_mesh *mesh = NULL;
        meshage_names *peers = NULL;
        meshage_stats *stats = NULL;
        OK(meshage_node_mesh(a, &mesh));
        OK(meshage_node_peers(b, &peers));
        OK(meshage_node_stats(b, &stats));
        meshage_mesh_free(mesh);
        meshage_names_free(peers);
        meshage_stats_free(stats);
        nap_ms(1);
    }
    return NULL;
}

int main(void)
{
    pthread_t senders[SENDERS], receivers[RECEIVERS], reader;
    size_t i, j;
    a = start("a");
    b = start("b");
    join(a, b);
    for (i = 0; i < RECEIVERS; i++)
        CHECK(pthread_create(&receivers[i], NULL, receives, NULL) == 0);
    for (i = 0; i < SENDERS; i++)
        CHECK(pthread_create(&senders[i], NULL, sends, (void *)i) == 0);
    CHECK(pthread_create(&reader, NULL, reads_snapshots, NULL) == 0);
    for (i = 0; i < SENDERS; i++)
        pthread_join(senders[i], NULL);
    count_reaches(&received, SENDERS * MESSAGES);
    pthread_join(reader, NULL);
    meshage_node_free(a);
    meshage_node_free(b);
    for (i = 0; i < RECEIVERS; i++)
        pthread_join(receivers[i], NULL);
    for (i = 0; i < SENDERS; i++)
        for (j = 0; j < MESSAGES; j++)
            CHECK(seen[i][j] == 1);
    return 0;
}
