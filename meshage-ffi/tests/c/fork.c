/* After fork(), calls on inherited nodes return FORKED at once in the child; nodes that it creates
 * work; the parent is not affected. */
#include "check.h"

#include <sys/wait.h>

static void child(meshage_node *node, meshage_op *op)
{
    const char *name = "b";
    meshage_message *message = (meshage_message *)&node;
    meshage_names *names = (meshage_names *)&node;
    meshage_event *event = NULL;
    meshage_node *mine, *other;
    count dropped = COUNT_INIT;
    int fd;
    STATUS(MESHAGE_ERR_FORKED, meshage_recv(node, MESHAGE_INFINITE, &message));
    CHECK(message == NULL);
    STATUS(MESHAGE_ERR_FORKED, meshage_set(node, &name, 1, "x", 1, SOON_MS, NULL));
    STATUS(MESHAGE_ERR_FORKED, meshage_broadcast(node, "x", 1, SOON_MS, NULL));
    STATUS(MESHAGE_ERR_FORKED, meshage_node_peers(node, &names));
    CHECK(names == NULL);
    STATUS(MESHAGE_ERR_FORKED, meshage_node_wait(node, &name, 1, MESHAGE_INFINITE));
    STATUS(MESHAGE_ERR_FORKED, meshage_dial(node, "127.0.0.1:1", SOON_MS));
    STATUS(MESHAGE_ERR_FORKED, meshage_hangup(node, "b"));
    STATUS(MESHAGE_ERR_FORKED, meshage_next_event(node, MESHAGE_INFINITE, &event));
    STATUS(MESHAGE_ERR_FORKED, meshage_node_set_degree(node, 1));
    STATUS(MESHAGE_ERR_FORKED, meshage_recv_fd(node, &fd));
    STATUS(MESHAGE_ERR_FORKED, meshage_on_message(node, NULL, &dropped, count_drop));
    CHECK(count_now(&dropped) == 1);
    CHECK(strcmp(meshage_node_name(node), "a") == 0);
    CHECK(strlen(meshage_last_error()) > 0);
    meshage_op_cancel(op);
    meshage_op_free(op);
    meshage_node_close(node);
    meshage_node_free(node);
    mine = start("mine");
    other = start("other");
    join(mine, other);
    OK(set_text(mine, "other", "from the child"));
    meshage_message_free(receive(other));
    meshage_node_free(mine);
    meshage_node_free(other);
}

static void ended(void *user_data, meshage_status status, meshage_report *report)
{
    OK(status);
    meshage_report_free(report);
    count_up(user_data);
}

int main(void)
{
    count done = COUNT_INIT;
    meshage_node *a = start("a"), *b = start("b");
    meshage_message *message = meshage_message_create("before", 6);
    meshage_op *op = NULL;
    int status = -1;
    pid_t pid;
    join(a, b);
    OK(meshage_send_async(a, message, SOON_MS, ended, &done, &op));
    count_reaches(&done, 1);
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        child(a, op);
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    OK(set_text(a, "b", "after"));
    meshage_op_free(op);
    meshage_message_free(message);
    message = receive(b);
    CHECK(body_is(message, "before"));
    meshage_message_free(message);
    message = receive(b);
    CHECK(body_is(message, "after"));
    meshage_message_free(message);
    meshage_node_free(a);
    meshage_node_free(b);
    return 0;
}
