/* SIGPIPE has its default action, and a peer is killed during sends to it: the calls return errors,
 * and no signal is raised. */
#include "check.h"

#include <signal.h>
#include <sys/wait.h>

#define BODY_BYTES ((size_t)1 << 20)

static int peer(const char *address)
{
    meshage_node *node = start("peer");
    OK(meshage_dial(node, address, SOON_MS));
    for (;;)
        meshage_message_free(receive(node));
}

int main(int argc, char **argv)
{
    const char *to = "peer";
    char *body;
    meshage_node *node;
    meshage_status status = MESHAGE_OK;
    pid_t pid;
    int sent = 0, ended = 0;
    if (argc > 1)
        return peer(argv[1]);
    CHECK(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
    body = calloc(1, BODY_BYTES);
    node = start("a");
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        execl(argv[0], argv[0], address_of(node), (char *)NULL);
        _exit(127);
    }
    wait_for(node, "peer");
    while (status == MESHAGE_OK) {
        status = meshage_set(node, &to, 1, body, BODY_BYTES, SOON_MS, NULL);
        if (++sent == 5)
            CHECK(kill(pid, SIGKILL) == 0);
        CHECK(sent < 100000);
    }
    CHECK(status == MESHAGE_ERR_LOST || status == MESHAGE_ERR_NO_ROUTE);
    CHECK(waitpid(pid, &ended, 0) == pid);
    CHECK(WIFSIGNALED(ended) && WTERMSIG(ended) == SIGKILL);
    STATUS(MESHAGE_ERR_NO_ROUTE, meshage_set(node, &to, 1, body, BODY_BYTES, SOON_MS, NULL));
    meshage_node_free(node);
    free(body);
    return 0;
}
