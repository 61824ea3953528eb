/* A worker that was forked while a node lives does not keep the node's sockets: after the parent
 * closed the node or was killed, its port is free and its peers notice at once. In the worker, the
 * inherited node can be freed. */
#ifndef _DEFAULT_SOURCE
#define _DEFAULT_SOURCE
#endif
#include "check.h"

#include <dirent.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>

/* Much shorter than the 3 s after which a peer is found dead by its silence. */
#define AT_ONCE_MS 1000

static long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The number of TCP and UDP sockets of this process that are bound to a port. */
static int bound_sockets(void)
{
    DIR *list = opendir("/proc/self/fd");
    struct dirent *entry;
    int sockets = 0;
    CHECK(list != NULL);
    while ((entry = readdir(list)) != NULL) {
        struct sockaddr_storage address;
        socklen_t length = sizeof address;
        int fd = atoi(entry->d_name);
        if (getsockname(fd, (struct sockaddr *)&address, &length) == 0 &&
            address.ss_family != AF_UNIX)
            sockets++;
    }
    closedir(list);
    return sockets;
}

static void ends_with(pid_t pid, int status)
{
    int got = -1;
    CHECK(waitpid(pid, &got, 0) == pid);
    CHECK(WIFEXITED(got) && WEXITSTATUS(got) == status);
}

/* Waits until the node has no peer. */
static void is_alone(meshage_node *node)
{
    long began = now_ms();
    size_t peers = 1;
    while (peers > 0) {
        meshage_names *names = NULL;
        OK(meshage_node_peers(node, &names));
        peers = meshage_names_count(names);
        meshage_names_free(names);
        CHECK(now_ms() - began < AT_ONCE_MS);
        nap_ms(1);
    }
}

/* Forks a worker that checks what it inherited, and then waits for the end of the pipe. */
static pid_t fork_worker(meshage_node *node, int pipe_end, int keep_open, int ready)
{
    pid_t pid = fork();
    char byte;
    CHECK(pid >= 0);
    if (pid != 0)
        return pid;
    if (keep_open >= 0)
        close(keep_open);
    CHECK(bound_sockets() == 0);
    meshage_node_free(node);
    CHECK(bound_sockets() == 0);
    CHECK(write(ready, "r", 1) == 1);
    CHECK(read(pipe_end, &byte, 1) == 0);
    _exit(0);
}

static void expect_byte(int fd)
{
    char byte;
    CHECK(read(fd, &byte, 1) == 1);
}

/* The parent closes its node; the worker lives. */
static void the_parent_closes(void)
{
    meshage_node *a = start("a"), *b = start("b");
    uint16_t port = meshage_node_port(a);
    int pipes[2], ready[2], fd;
    pid_t worker;
    join(a, b);
    OK(meshage_recv_fd(a, &fd));
    OK(set_text(b, "a", "waits in the queue"));
    CHECK(pipe(pipes) == 0 && pipe(ready) == 0);
    worker = fork_worker(a, pipes[0], pipes[1], ready[1]);
    expect_byte(ready[0]);
    /* The parent's sockets are as before. */
    OK(set_text(a, "b", "after the fork"));
    meshage_message_free(receive(b));
    meshage_message_free(receive(a));
    meshage_node_free(a);
    is_alone(b);
    a = start_on("a", port, MESHAGE_RECEIVE_BUFFER);
    join(a, b);
    close(pipes[1]);
    ends_with(worker, 0);
    meshage_node_free(a);
    meshage_node_free(b);
    close(pipes[0]), close(ready[0]), close(ready[1]);
}

/* The process with the node is killed; its worker lives. */
static void the_parent_is_killed(void)
{
    meshage_node *b;
    int pipes[2], ready[2], ports[2], status;
    uint16_t port = 0;
    pid_t parent;
    CHECK(pipe(pipes) == 0 && pipe(ready) == 0 && pipe(ports) == 0);
    parent = fork();
    CHECK(parent >= 0);
    if (parent == 0) {
        meshage_node *a = start("a");
        close(pipes[1]);
        port = meshage_node_port(a);
        CHECK(write(ports[1], &port, sizeof port) == sizeof port);
        wait_for(a, "b");
        (void)fork_worker(a, pipes[0], -1, ready[1]);
        for (;;)
            pause();
    }
    CHECK(read(ports[0], &port, sizeof port) == sizeof port);
    b = start("b");
    {
        char address[32];
        snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)port);
        OK(meshage_dial(b, address, SOON_MS));
    }
    expect_byte(ready[0]);
    CHECK(kill(parent, SIGKILL) == 0);
    CHECK(waitpid(parent, &status, 0) == parent && WIFSIGNALED(status));
    is_alone(b);
    meshage_node_free(start_on("a", port, MESHAGE_RECEIVE_BUFFER));
    meshage_node_free(b);
    close(pipes[1]);
}

/* A process that was made without the handlers of fork has the sockets, and lives. The node shuts
 * them down when it is closed. */
static void the_parent_closes_beside_a_process_with_its_sockets(void)
{
    meshage_node *a = start("a"), *b = start("b");
    uint16_t port = meshage_node_port(a);
    int pipes[2];
    char byte;
    long child;
    join(a, b);
    CHECK(pipe(pipes) == 0);
    child = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
    CHECK(child >= 0);
    if (child == 0) {
        close(pipes[1]);
        (void)!read(pipes[0], &byte, 1);
        _exit(0);
    }
    meshage_node_free(a);
    is_alone(b);
    a = start_on("a", port, MESHAGE_RECEIVE_BUFFER);
    join(a, b);
    close(pipes[1]);
    close(pipes[0]);
    ends_with((pid_t)child, 0);
    meshage_node_free(a);
    meshage_node_free(b);
}

#define BODIES 8
#define BODY_BYTES (4L << 20)

/* The resident memory of this process. */
static long resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    long pages = 0;
    CHECK(file != NULL && fscanf(file, "%*d %ld", &pages) == 1);
    fclose(file);
    return pages * sysconf(_SC_PAGESIZE);
}

/* The messages in the queue of an inherited node are freed with it. */
static void the_worker_frees_the_messages(void)
{
    meshage_node *a = start("a"), *b = start("b");
    const char *name = "a";
    char *body = calloc(1, BODY_BYTES);
    pid_t worker;
    int i;
    join(a, b);
    for (i = 0; i < BODIES; i++)
        OK(meshage_set(b, &name, 1, body, BODY_BYTES, SOON_MS, NULL));
    worker = fork();
    CHECK(worker >= 0);
    if (worker == 0) {
        long before = resident_bytes();
        meshage_node_free(a);
#ifdef __SANITIZE_ADDRESS__
        (void)before;
#else
        CHECK(before - resident_bytes() > BODIES / 2 * BODY_BYTES);
#endif
        _exit(0);
    }
    ends_with(worker, 0);
    for (i = 0; i < BODIES; i++)
        meshage_message_free(receive(a));
    free(body);
    meshage_node_free(a);
    meshage_node_free(b);
}

int main(void)
{
    the_worker_frees_the_messages();
    the_parent_closes();
    the_parent_closes_beside_a_process_with_its_sockets();
    the_parent_is_killed();
    return 0;
}
