/* A closed mesh: two nodes have a key and exchange a message; a third one has another key and is
 * turned away. In real programs every node has the same key file: meshage_config_key_file. */
#include "example.h"

static meshage_node *start(const char *name, const uint8_t *key)
{
    meshage_node *node = NULL;
    meshage_config *config = meshage_config_create(name);
    must(meshage_config_bind(config, "127.0.0.1"), "the address");
    must(meshage_config_port(config, 0), "the port");
    must(meshage_config_key(config, key, 32), "the key");
    must(meshage_node_create(config, &node), "the node");
    meshage_config_free(config);
    return node;
}

int main(void)
{
    uint8_t key[32], other_key[32];
    char address[32];
    const char *to = "alice";
    size_t len;
    meshage_node *alice, *bob, *mallory;
    meshage_message *message = NULL;

    must(meshage_key_generate(key), "a key");
    must(meshage_key_generate(other_key), "another key");
    alice = start("alice", key);
    bob = start("bob", key);
    mallory = start("mallory", other_key);
    memset(key, 0, sizeof key);

    snprintf(address, sizeof address, "127.0.0.1:%u", (unsigned)meshage_node_port(alice));
    must(meshage_dial(bob, address, MESHAGE_DEFAULT), "bob's link");
    must(meshage_set(bob, &to, 1, "hello", 5, MESHAGE_DEFAULT, NULL), "bob's message");
    must(meshage_recv(alice, MESHAGE_DEFAULT, &message), "alice");
    printf("%s: %.5s\n", meshage_message_source(message),
           (const char *)meshage_message_body(message, &len));
    meshage_message_free(message);

    if (meshage_dial(mallory, address, MESHAGE_DEFAULT) == MESHAGE_ERR_AUTH)
        printf("mallory: %s\n", meshage_last_error());
    meshage_node_free(mallory);
    meshage_node_free(bob);
    meshage_node_free(alice);
    return 0;
}
