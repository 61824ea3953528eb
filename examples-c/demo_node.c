/* A node of the demo and of the tests that run processes. It reads commands from standard input and
 * prints results and messages to standard output.
 *
 *   demo_node NAME NAMESPACE UDP_PORT DEGREE [BROADCAST]
 *
 *   in:   set NAME TEXT    broadcast TEXT    peers    mesh    quit
 *   out:  ready PORT               once, when the node listens
 *         got SOURCE TEXT          for each message received
 *         sent DELIVERED FAILED    the number of recipients that received it, and of the others
 *         peers a b                the nodes to which it has links
 *         mesh a:b,c b:a           each known node with its neighbours
 *
 * The programs demo_node.rs and demo_node.py do the same. */
#define _POSIX_C_SOURCE 200809L
#include <meshage.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void must(meshage_status status)
{
    if (status != MESHAGE_OK) {
        fprintf(stderr, "demo_node: %s\n", meshage_last_error());
        exit(1);
    }
}

/* Each thread locks the stream while it prints a line, so that lines do not mix. */
static void end_line(void)
{
    putchar('\n');
    fflush(stdout);
    funlockfile(stdout);
}

static void got(void *unused, meshage_message *message)
{
    size_t len;
    const char *body = meshage_message_body(message, &len);
    (void)unused;
    flockfile(stdout);
    printf("got %s ", meshage_message_source(message));
    fwrite(body, 1, len, stdout);
    end_line();
    meshage_message_free(message);
}

static void sent(meshage_status status, meshage_report *report)
{
    size_t delivered = meshage_report_delivered(report);
    size_t failed = report == NULL ? 1 : meshage_report_count(report) - delivered;
    if (status != MESHAGE_OK)
        fprintf(stderr, "demo_node: %s\n", meshage_last_error());
    flockfile(stdout);
    printf("sent %zu %zu", delivered, failed);
    end_line();
    meshage_report_free(report);
}

static void set(meshage_node *node, char *name, const char *text)
{
    const char *recipient = name;
    meshage_report *report = NULL;
    meshage_status status =
        meshage_set(node, &recipient, 1, text, strlen(text), MESHAGE_DEFAULT, &report);
    sent(status, report);
}

static void broadcast(meshage_node *node, const char *text)
{
    meshage_report *report = NULL;
    meshage_status status = meshage_broadcast(node, text, strlen(text), MESHAGE_DEFAULT, &report);
    sent(status, report);
}

static void peers(const meshage_node *node)
{
    meshage_names *names = NULL;
    size_t i;
    must(meshage_node_peers(node, &names));
    flockfile(stdout);
    printf("peers");
    for (i = 0; i < meshage_names_count(names); i++)
        printf(" %s", meshage_names_get(names, i));
    end_line();
    meshage_names_free(names);
}

static void mesh(const meshage_node *node)
{
    meshage_mesh *snapshot = NULL;
    size_t i, j;
    must(meshage_node_mesh(node, &snapshot));
    flockfile(stdout);
    printf("mesh");
    for (i = 0; i < meshage_mesh_count(snapshot); i++) {
        printf(" %s:", meshage_mesh_name(snapshot, i));
        for (j = 0; j < meshage_mesh_degree(snapshot, i); j++)
            printf("%s%s", j == 0 ? "" : ",", meshage_mesh_neighbor(snapshot, i, j));
    }
    end_line();
    meshage_mesh_free(snapshot);
}

/* Returns the first word of a line; `*rest` is the remainder. */
static char *word(char *line, char **rest)
{
    char *space = strchr(line, ' ');
    if (space == NULL) {
        *rest = line + strlen(line);
    } else {
        *space = '\0';
        *rest = space + 1;
    }
    return line;
}

/* Runs a command. Returns 0 for the command to quit. */
static int run_command(meshage_node *node, char *line)
{
    char *rest, *text;
    const char *command = word(line, &rest);
    if (strcmp(command, "set") == 0) {
        char *name = word(rest, &text);
        set(node, name, text);
    } else if (strcmp(command, "broadcast") == 0) {
        broadcast(node, rest);
    } else if (strcmp(command, "peers") == 0) {
        peers(node);
    } else if (strcmp(command, "mesh") == 0) {
        mesh(node);
    } else if (strcmp(command, "quit") == 0) {
        return 0;
    } else {
        fprintf(stderr, "demo_node: unknown command \"%s\"\n", command);
        exit(1);
    }
    return 1;
}

static meshage_node *start(char **arguments, const char *broadcast_ip)
{
    meshage_node *node = NULL;
    meshage_config *config = meshage_config_create(arguments[0]);
    must(meshage_config_namespace(config, arguments[1]));
    must(meshage_config_port(config, (uint16_t)atoi(arguments[2])));
    must(meshage_config_listen_port(config, 0));
    must(meshage_config_degree(config, (uint32_t)atoi(arguments[3])));
    must(meshage_config_broadcast(config, broadcast_ip));
    if (getenv("MESHAGE_KEY_FILE") != NULL)
        must(meshage_config_key_file(config, getenv("MESHAGE_KEY_FILE")));
    must(meshage_node_create(config, &node));
    meshage_config_free(config);
    return node;
}

int main(int argc, char **argv)
{
    meshage_node *node;
    char *line = NULL;
    size_t size = 0;
    ssize_t len;
    if (argc != 5 && argc != 6) {
        fprintf(stderr, "usage: demo_node NAME NAMESPACE UDP_PORT DEGREE [BROADCAST]\n");
        return 2;
    }
    node = start(argv + 1, argc == 6 ? argv[5] : "127.255.255.255");
    flockfile(stdout);
    printf("ready %u", (unsigned)meshage_node_port(node));
    end_line();
    must(meshage_on_message(node, got, NULL, NULL));
    while ((len = getline(&line, &size, stdin)) > 0) {
        if (line[len - 1] == '\n')
            line[len - 1] = '\0';
        if (!run_command(node, line))
            break;
    }
    free(line);
    meshage_node_free(node);
    return 0;
}
