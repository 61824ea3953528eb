/* Shared by these examples: their arguments, and a node that discovers the nodes on this
 * machine. */
#ifndef EXAMPLE_H
#define EXAMPLE_H

#include <meshage.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Ends the program if a call failed. `what` describes the call's purpose. */
static inline void must(meshage_status status, const char *what)
{
    if (status != MESHAGE_OK) {
        fprintf(stderr, "%s: %s: %s\n", what, meshage_strerror(status), meshage_last_error());
        exit(1);
    }
}

/* The arguments, starting with argv[first]: [NAME [NAMESPACE [PORT [SECONDS]]]]. */
struct arguments {
    const char *name, *ns;
    uint16_t port;
    long seconds; /* 0: without limit */
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

/* Starts a node that establishes up to three links to nodes on this machine. On a network of
 * several machines, keep the defaults of the broadcast address and the listen port. */
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

/* The time at which the program ends; 0 if it runs without limit. */
static inline time_t end_of(const struct arguments *arguments)
{
    return arguments->seconds == 0 ? 0 : time(NULL) + arguments->seconds;
}

/* The remaining time until `end`, in the form that meshage's functions take. */
static inline int32_t remaining(time_t end)
{
    time_t now = time(NULL);
    if (end == 0)
        return MESHAGE_INFINITE;
    return end > now ? (int32_t)(1000 * (end - now)) : 0;
}

#endif
