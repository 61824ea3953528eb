/* Prints the topology whenever it changes, and finally in Graphviz's DOT language.
 *
 *   ./topology [NAME [NAMESPACE [PORT [SECONDS]]]]
 *   ./topology watch examples 9000 5 | sed -n '/^graph/,$p' | dot -Tsvg > mesh.svg */
#include "example.h"

static void print(const meshage_node *node)
{
    meshage_mesh *mesh = NULL;
    size_t i, j;
    must(meshage_node_mesh(node, &mesh), "the topology");
    printf("%zu nodes\n", meshage_mesh_count(mesh));
    for (i = 0; i < meshage_mesh_count(mesh); i++) {
        printf("  %s --", meshage_mesh_name(mesh, i));
        for (j = 0; j < meshage_mesh_degree(mesh, i); j++)
            printf(" %s", meshage_mesh_neighbor(mesh, i, j));
        printf("\n");
    }
    fflush(stdout);
    meshage_mesh_free(mesh);
}

int main(int argc, char **argv)
{
    struct arguments arguments = parse(argc, argv, 1, "watch");
    meshage_node *node = join_mesh(&arguments);
    meshage_event *event = NULL;
    time_t end = end_of(&arguments);
    char *dot = NULL;

    print(node);
    while (remaining(end) != 0 && meshage_next_event(node, remaining(end), &event) == MESHAGE_OK) {
        int32_t kind = meshage_event_kind_of(event);
        /* After an overflow, events are missing, but the snapshot is complete. */
        if (kind == MESHAGE_EVENT_TOPOLOGY || kind == MESHAGE_EVENT_OVERFLOW)
            print(node);
        meshage_event_free(event);
    }
    must(meshage_node_dot(node, &dot), "the drawing");
    printf("%s", dot);
    meshage_string_free(dot);
    meshage_node_free(node);
    return 0;
}
