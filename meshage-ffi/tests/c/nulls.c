/* NULL for every argument: an error or an empty result, never a crash. */
#include "check.h"

static void take(void *user_data, meshage_message *message)
{
    (void)user_data;
    meshage_message_free(message);
}

static void see(void *user_data, const meshage_message *message)
{
    (void)user_data;
    (void)message;
}

static void happen(void *user_data, const meshage_event *event)
{
    (void)user_data;
    (void)event;
}

static void end(void *user_data, meshage_status status, meshage_report *report)
{
    (void)user_data;
    (void)status;
    meshage_report_free(report);
}

static void frees(void)
{
    meshage_string_free(NULL);
    meshage_config_free(NULL);
    meshage_node_free(NULL);
    meshage_node_close(NULL);
    meshage_op_cancel(NULL);
    meshage_op_free(NULL);
    meshage_report_free(NULL);
    meshage_message_free(NULL);
    meshage_names_free(NULL);
    meshage_mesh_free(NULL);
    meshage_event_free(NULL);
    meshage_stats_free(NULL);
}

static void accessors(void)
{
    size_t len = 7;
    CHECK(meshage_node_name(NULL) == NULL);
    CHECK(meshage_node_port(NULL) == 0);
    CHECK(meshage_node_degree(NULL) == 0);
    CHECK(meshage_node_msa_timeout(NULL) == 0);
    CHECK(meshage_report_count(NULL) == 0);
    CHECK(meshage_report_delivered(NULL) == 0);
    CHECK(meshage_report_recipient(NULL, 0) == NULL);
    STATUS(MESHAGE_ERR_NULL, meshage_report_status(NULL, 0));
    CHECK(meshage_message_source(NULL) == NULL);
    CHECK(meshage_message_body(NULL, &len) == NULL);
    CHECK(len == 0);
    CHECK(meshage_message_body(NULL, NULL) == NULL);
    CHECK(meshage_message_encoding(NULL) == 0);
    CHECK(meshage_message_id(NULL) == 0);
    CHECK(meshage_message_instance(NULL) == 0);
    CHECK(meshage_message_recipient_count(NULL) == 0);
    CHECK(meshage_message_recipient(NULL, 0) == NULL);
    CHECK(meshage_message_hop_count(NULL) == 0);
    CHECK(meshage_message_hop(NULL, 0) == NULL);
    CHECK(meshage_message_clone(NULL) == NULL);
    CHECK(meshage_names_count(NULL) == 0);
    CHECK(meshage_names_get(NULL, 0) == NULL);
    CHECK(meshage_mesh_count(NULL) == 0);
    CHECK(meshage_mesh_name(NULL, 0) == NULL);
    CHECK(meshage_mesh_degree(NULL, 0) == 0);
    CHECK(meshage_mesh_neighbor(NULL, 0, 0) == NULL);
    CHECK(meshage_event_kind_of(NULL) == 0);
    CHECK(meshage_event_node(NULL) == NULL);
    CHECK(meshage_stats_count(NULL) == 0);
    CHECK(meshage_stats_name(NULL, 0) == NULL);
    CHECK(meshage_stats_value(NULL, 0) == 0);
}

static void keys(void)
{
    uint8_t key[32] = {0};
    char id[17];
    meshage_names *ids = NULL;
    meshage_config *config = meshage_config_create("a");
    CHECK(meshage_event_address(NULL) == NULL);
    CHECK(meshage_event_key_id_count(NULL) == 0);
    CHECK(meshage_event_key_id(NULL, 0) == NULL);
    STATUS(MESHAGE_ERR_NULL, meshage_key_generate(NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_key_id(NULL, 32, id));
    STATUS(MESHAGE_ERR_NULL, meshage_key_id(key, 32, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_config_key(NULL, key, 32));
    STATUS(MESHAGE_ERR_NULL, meshage_config_key(config, NULL, 32));
    STATUS(MESHAGE_ERR_NULL, meshage_config_key(config, NULL, 0));
    STATUS(MESHAGE_ERR_NULL, meshage_config_key_file(NULL, "x"));
    STATUS(MESHAGE_ERR_NULL, meshage_config_key_file(config, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_config_identity_file(NULL, "x"));
    STATUS(MESHAGE_ERR_NULL, meshage_config_identity_file(config, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_config_root(NULL, key, 32));
    STATUS(MESHAGE_ERR_NULL, meshage_config_root(config, NULL, 32));
    STATUS(MESHAGE_ERR_NULL, meshage_config_ticket_file(NULL, "x"));
    STATUS(MESHAGE_ERR_NULL, meshage_config_ticket_file(config, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_config_allow(NULL, "b", key, 32));
    STATUS(MESHAGE_ERR_NULL, meshage_config_allow(config, NULL, key, 32));
    STATUS(MESHAGE_ERR_NULL, meshage_config_allow(config, "b", NULL, 32));
    STATUS(MESHAGE_ERR_NULL, meshage_config_signed(NULL, true));
    STATUS(MESHAGE_ERR_NULL, meshage_node_key_add(NULL, key, 32));
    STATUS(MESHAGE_ERR_NULL, meshage_node_key_use(NULL, "0000000000000000"));
    STATUS(MESHAGE_ERR_NULL, meshage_node_key_remove(NULL, "0000000000000000"));
    STATUS(MESHAGE_ERR_NULL, meshage_node_keys_reload(NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_node_keys(NULL, &ids));
    STATUS(MESHAGE_ERR_NULL, meshage_node_public_key(NULL, key));
    STATUS(MESHAGE_ERR_NULL, meshage_node_revoke(NULL, key, 32));
    meshage_config_free(config);
}

static void configs(void)
{
    meshage_config *config = meshage_config_create("a");
    CHECK(meshage_config_create(NULL) == NULL);
    CHECK(strlen(meshage_last_error()) > 0);
    STATUS(MESHAGE_ERR_NULL, meshage_config_namespace(NULL, "n"));
    STATUS(MESHAGE_ERR_NULL, meshage_config_namespace(config, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_config_degree(NULL, 1));
    STATUS(MESHAGE_ERR_NULL, meshage_config_broadcast(NULL, "127.0.0.1"));
    STATUS(MESHAGE_ERR_NULL, meshage_config_broadcast(config, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_config_interface(NULL, "eth0"));
    STATUS(MESHAGE_ERR_NULL, meshage_config_interface(config, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_config_bind(NULL, "127.0.0.1"));
    STATUS(MESHAGE_ERR_NULL, meshage_config_bind(config, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_config_port(NULL, 1));
    STATUS(MESHAGE_ERR_NULL, meshage_config_listen_port(NULL, 1));
    STATUS(MESHAGE_ERR_NULL, meshage_config_version(NULL, "1"));
    STATUS(MESHAGE_ERR_NULL, meshage_config_version(config, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_config_timeout(NULL, 1));
    STATUS(MESHAGE_ERR_NULL, meshage_config_msa_timeout(NULL, 1000));
    STATUS(MESHAGE_ERR_NULL, meshage_config_receive_buffer(NULL, 1));
    STATUS(MESHAGE_ERR_NULL, meshage_config_max_message(NULL, 1));
    STATUS(MESHAGE_ERR_NULL, meshage_config_worker_threads(NULL, 1));
    STATUS(MESHAGE_ERR_NULL, meshage_config_seed_address(NULL, "a"));
    STATUS(MESHAGE_ERR_NULL, meshage_config_seed_address(config, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_node_create(config, NULL));
    meshage_config_free(config);
}

/* NULL for the node: every function clears its out-parameters. */
static void without_a_node(void)
{
    const char *name = "a";
    void *junk = &name;
    meshage_node *node = junk;
    meshage_names *names = junk;
    meshage_mesh *mesh = junk;
    char *dot = junk;
    meshage_stats *stats = junk;
    meshage_report *report = junk;
    meshage_message *message = junk;
    meshage_event *event = junk;
    meshage_op *op = junk;
    size_t handled = 7;
    uint64_t value = 7;
    int fd = 7;
    meshage_message *created = meshage_message_create("x", 1);

    STATUS(MESHAGE_ERR_NULL, meshage_node_create(NULL, &node));
    STATUS(MESHAGE_ERR_NULL, meshage_node_set_degree(NULL, 1));
    STATUS(MESHAGE_ERR_NULL, meshage_node_set_msa_timeout(NULL, 1000));
    STATUS(MESHAGE_ERR_NULL, meshage_node_msa(NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_node_peers(NULL, &names));
    STATUS(MESHAGE_ERR_NULL, meshage_node_mesh(NULL, &mesh));
    STATUS(MESHAGE_ERR_NULL, meshage_node_dot(NULL, &dot));
    STATUS(MESHAGE_ERR_NULL, meshage_node_stats(NULL, &stats));
    CHECK(!node && !names && !mesh && !dot && !stats);
    names = junk;
    STATUS(MESHAGE_ERR_NULL, meshage_broadcast_recipients(NULL, &names));
    CHECK(!names);
    STATUS(MESHAGE_ERR_NULL, meshage_node_wait(NULL, &name, 1, 0));
    STATUS(MESHAGE_ERR_NULL, meshage_dial(NULL, "127.0.0.1:1", 0));
    STATUS(MESHAGE_ERR_NULL, meshage_hangup(NULL, "a"));
    STATUS(MESHAGE_ERR_NULL, meshage_set(NULL, &name, 1, "x", 1, 0, &report));
    CHECK(!report);
    report = junk;
    STATUS(MESHAGE_ERR_NULL, meshage_broadcast(NULL, "x", 1, 0, &report));
    CHECK(!report);
    report = junk;
    STATUS(MESHAGE_ERR_NULL, meshage_send(NULL, created, 0, &report));
    CHECK(!report);
    STATUS(MESHAGE_ERR_NULL, meshage_send_async(NULL, created, 0, end, NULL, &op));
    CHECK(!op);
    STATUS(MESHAGE_ERR_NULL, meshage_recv(NULL, 0, &message));
    CHECK(!message);
    STATUS(MESHAGE_ERR_NULL, meshage_poll(NULL, 0, 1, take, NULL, &handled));
    CHECK(handled == 0);
    STATUS(MESHAGE_ERR_NULL, meshage_recv_fd(NULL, &fd));
    CHECK(fd == 0);
    STATUS(MESHAGE_ERR_NULL, meshage_on_message(NULL, take, NULL, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_on_snoop(NULL, see, NULL, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_on_event(NULL, happen, NULL, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_next_event(NULL, 0, &event));
    CHECK(!event);
    STATUS(MESHAGE_ERR_NULL, meshage_stats_get(NULL, "x", &value));
    CHECK(value == 0);
    STATUS(MESHAGE_ERR_NULL, meshage_message_add_recipient(NULL, "a"));
    STATUS(MESHAGE_ERR_NULL, meshage_message_add_recipient(created, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_message_set_encoding(NULL, 1));
    CHECK(meshage_message_create(NULL, 1) == NULL);
    meshage_message_free(created);
}

/* A node, and NULL for all other arguments. */
static void with_a_node(void)
{
    const char *names[2] = {"a", NULL};
    meshage_node *node = start("lonely");
    meshage_message *created = meshage_message_create(NULL, 0);
    meshage_stats *stats = NULL;
    uint64_t value;
    CHECK(created != NULL);
    STATUS(MESHAGE_ERR_NULL, meshage_node_peers(node, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_node_mesh(node, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_node_dot(node, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_node_stats(node, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_broadcast_recipients(node, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_node_wait(node, NULL, 1, 0));
    STATUS(MESHAGE_ERR_NULL, meshage_node_wait(node, names, 2, 0));
    OK(meshage_node_wait(node, NULL, 0, 0));
    STATUS(MESHAGE_ERR_NULL, meshage_dial(node, NULL, 0));
    STATUS(MESHAGE_ERR_NULL, meshage_hangup(node, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_set(node, NULL, 1, "x", 1, 0, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_set(node, names, 2, "x", 1, 0, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_set(node, names, 1, NULL, 1, 0, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_broadcast(node, NULL, 1, 0, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_send(node, NULL, 0, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_send_async(node, NULL, 0, end, NULL, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_send_async(node, created, 0, NULL, NULL, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_set_with(node, NULL, 1, "x", 1, NULL, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_set_with(NULL, names, 1, "x", 1, NULL, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_broadcast_with(node, NULL, 1, NULL, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_broadcast_with(NULL, "x", 1, NULL, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_send_with(node, NULL, NULL, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_send_with(NULL, created, NULL, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_send_async_with(node, NULL, NULL, end, NULL, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_send_async_with(node, created, NULL, NULL, NULL, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_send_async_with(NULL, created, NULL, end, NULL, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_send_options_timeout(NULL, 0));
    STATUS(MESHAGE_ERR_NULL, meshage_send_options_retry(NULL, true));
    meshage_send_options_free(NULL);
    CHECK(meshage_event_instance(NULL) == 0 && meshage_event_reason(NULL) == NULL);
    CHECK(meshage_event_departure(NULL) == MESHAGE_DEPARTURE_NONE);
    STATUS(MESHAGE_ERR_NULL, meshage_recv(node, 0, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_poll(node, 0, 1, NULL, NULL, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_recv_fd(node, NULL));
    STATUS(MESHAGE_ERR_NULL, meshage_next_event(node, 0, NULL));
    OK(meshage_on_message(node, NULL, NULL, NULL));
    OK(meshage_on_snoop(node, NULL, NULL, NULL));
    OK(meshage_on_event(node, NULL, NULL, NULL));
    OK(meshage_on_log(3, NULL, NULL, NULL));
    OK(meshage_broadcast(node, NULL, 0, 0, NULL));
    OK(meshage_node_stats(node, &stats));
    STATUS(MESHAGE_ERR_NULL, meshage_stats_get(stats, NULL, &value));
    STATUS(MESHAGE_ERR_NULL, meshage_stats_get(stats, "x", NULL));
    meshage_stats_free(stats);
    meshage_message_free(created);
    meshage_node_free(node);
}

int main(void)
{
    frees();
    accessors();
    configs();
    keys();
    without_a_node();
    with_a_node();
    return 0;
}
