/* What these examples share: their arguments, and a node that finds the others of this machine. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <meshage.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Ends the program where a call failed that it cannot do without. */
static inline void must(meshage_status status, const char *what)
{
    if (status != MESHAGE_OK) {
        fprintf(stderr, "%s: %s: %s\n", what, meshage_strerror(status), meshage_last_error());
        exit(1);
    }
}

/* Arguments from the `first` one on: [NAME [NAMESPACE [PORT [SECONDS]]]]. */
struct arguments {
    const char *name, *ns;
    uint16_t port;
    long seconds; /* 0: until it is ended from outside */
};

static inline struct arguments parse(int argc, char **argv, int first, const char *name)
{
    struct arguments parsed;
    parsed.name = argc > first ? argv[first] : name;
    parsed.ns = argc > first + 1 ? argv[first + 1] : "examples";
    parsed.port = argc > first + 2 ? (uint16_t)atoi(argv[first + 2]) : MESHAGE_DEFAULT_PORT;
    parsed.seconds = argc > first + 3 ? atol(argv[first + 3]) : 0;
    return parsed;
}

/* A node that looks for up to three others on this machine. In a network of machines, leave the
 * broadcast address and the listen port at their defaults. */
static inline meshage_node *join_mesh(const struct arguments *arguments)
{
    meshage_node *node = NULL;
    meshage_config *config = meshage_config_create(arguments->name);
    if (config == NULL) {
        fprintf(stderr, "the name: %s\n", meshage_last_error());
        exit(1);
    }
    must(meshage_config_namespace(config, arguments->ns), "the namespace");
    must(meshage_config_port(config, arguments->port), "the port");
    must(meshage_config_degree(config, 3), "the degree");
    must(meshage_config_broadcast(config, "127.255.255.255"), "the broadcast address");
    must(meshage_config_listen_port(config, 0), "the listen port");
    must(meshage_node_create(config, &node), "the node");
    meshage_config_free(config);
    return node;
}

/* When a program that runs for so many seconds ends. */
static inline time_t end_of(const struct arguments *arguments)
{
    return arguments->seconds == 0 ? 0 : time(NULL) + arguments->seconds;
}

/* How long there is until then, as a time for meshage's calls. */
static inline int32_t left(time_t end)
{
    time_t now = time(NULL);
    if (end == 0)
        return MESHAGE_INFINITE;
    return end > now ? (int32_t)(1000 * (end - now)) : 0;
}

#endif
