/* The C contract: every function is assigned to a pointer of its exact type, so that this file does
 * not compile if the header declares another. Compiled as C99 and as C++11. */
#include <meshage.h>
#include <stdio.h>
#include <string.h>

#define IS(constant, value) \
    do { \
        if ((constant) != (value)) { \
            printf("%s is %ld, not %ld\n", #constant, (long)(constant), (long)(value)); \
            return 1; \
        } \
    } while (0)

static int functions(void)
{
    { const char * (*f)(void) = meshage_version; if (!f) return 1; }
    { uint32_t (*f)(void) = meshage_version_number; if (!f) return 1; }
    { uint32_t (*f)(void) = MESHAGE_ABI; if (!f || f() != meshage_version_number()) return 1; }
    { const char * (*f)(int32_t status) = meshage_strerror; if (!f) return 1; }
    { const char * (*f)(void) = meshage_last_error; if (!f) return 1; }
    { size_t (*f)(char *buf, size_t cap) = meshage_last_error_copy; if (!f) return 1; }
    {
        meshage_status (*f)(int32_t max_level, meshage_log_cb cb,
            void *user_data, meshage_drop_cb drop) = meshage_on_log;
        if (!f) return 1;
    }
    { void (*f)(char *string) = meshage_string_free; if (!f) return 1; }
    { meshage_config * (*f)(const char *name) = meshage_config_create; if (!f) return 1; }
    { void (*f)(meshage_config *config) = meshage_config_free; if (!f) return 1; }
    {
        meshage_status (*f)(meshage_config *config, const char *ns) =
            meshage_config_namespace;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_config *config, const uint8_t *key, size_t len) =
            meshage_config_key;
        if (!f) return 1;
        f = meshage_config_root;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_config *config, const char *path) = meshage_config_key_file;
        if (!f) return 1;
        f = meshage_config_identity_file;
        if (!f) return 1;
        f = meshage_config_ticket_file;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_config *config, const char *name, const uint8_t *public_key,
            size_t len) = meshage_config_allow;
        if (!f) return 1;
    }
    { meshage_status (*f)(meshage_config *config, bool on) = meshage_config_signed; if (!f) return 1; }
    { meshage_status (*f)(uint8_t out[32]) = meshage_key_generate; if (!f) return 1; }
    {
        meshage_status (*f)(const uint8_t *key, size_t len, char out[17]) = meshage_key_id;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_node *node, const uint8_t *bytes, size_t len) =
            meshage_node_key_add;
        if (!f) return 1;
        f = meshage_node_revoke;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_node *node, const char *id) = meshage_node_key_use;
        if (!f) return 1;
        f = meshage_node_key_remove;
        if (!f) return 1;
    }
    { meshage_status (*f)(meshage_node *node) = meshage_node_keys_reload; if (!f) return 1; }
    {
        meshage_status (*f)(const meshage_node *node, meshage_names **ids) = meshage_node_keys;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(const meshage_node *node, uint8_t out[32]) = meshage_node_public_key;
        if (!f) return 1;
    }
    { const char * (*f)(const meshage_event *event) = meshage_event_address; if (!f) return 1; }
    { size_t (*f)(const meshage_event *event) = meshage_event_key_id_count; if (!f) return 1; }
    { const char * (*f)(const meshage_event *event, size_t i) = meshage_event_key_id; if (!f) return 1; }
    { meshage_send_options * (*f)(void) = meshage_send_options_create; if (!f) return 1; }
    { void (*f)(meshage_send_options *options) = meshage_send_options_free; if (!f) return 1; }
    {
        meshage_status (*f)(meshage_send_options *options, int32_t ms) =
            meshage_send_options_timeout;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_send_options *options, bool retry) =
            meshage_send_options_retry;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_node *node, const char *const *recipients, size_t count,
            const void *body, size_t len, const meshage_send_options *options,
            meshage_report **report) = meshage_set_with;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_node *node, const void *body, size_t len,
            const meshage_send_options *options, meshage_report **report) =
            meshage_broadcast_with;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_node *node, const meshage_message *message,
            const meshage_send_options *options, meshage_report **report) = meshage_send_with;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_node *node, const meshage_message *message,
            const meshage_send_options *options, meshage_report_cb cb, void *user_data,
            meshage_op **op) = meshage_send_async_with;
        if (!f) return 1;
    }
    { uint64_t (*f)(const meshage_event *event) = meshage_event_instance; if (!f) return 1; }
    { const char * (*f)(const meshage_event *event) = meshage_event_reason; if (!f) return 1; }
    { int32_t (*f)(const meshage_event *event) = meshage_event_departure; if (!f) return 1; }
    {
        meshage_status (*f)(meshage_config *config, uint32_t degree) =
            meshage_config_degree;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_config *config, const char *ip) =
            meshage_config_broadcast;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_config *config, const char *ip) =
            meshage_config_bind;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_config *config, uint16_t port) =
            meshage_config_port;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_config *config, uint16_t port) =
            meshage_config_listen_port;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_config *config, const char *version) =
            meshage_config_version;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_config *config, int32_t ms) =
            meshage_config_timeout;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_config *config, int32_t ms) =
            meshage_config_msa_timeout;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_config *config, size_t messages) =
            meshage_config_receive_buffer;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_config *config, size_t bytes) =
            meshage_config_max_message;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_config *config, uint32_t threads) =
            meshage_config_worker_threads;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_config *config, const char *address) =
            meshage_config_seed_address;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(const meshage_config *config, meshage_node **out) =
            meshage_node_create;
        if (!f) return 1;
    }
    { void (*f)(meshage_node *node) = meshage_node_close; if (!f) return 1; }
    { void (*f)(meshage_node *node) = meshage_node_free; if (!f) return 1; }
    { const char * (*f)(const meshage_node *node) = meshage_node_name; if (!f) return 1; }
    { uint16_t (*f)(const meshage_node *node) = meshage_node_port; if (!f) return 1; }
    { uint32_t (*f)(const meshage_node *node) = meshage_node_degree; if (!f) return 1; }
    {
        meshage_status (*f)(meshage_node *node, uint32_t degree) =
            meshage_node_set_degree;
        if (!f) return 1;
    }
    { int32_t (*f)(const meshage_node *node) = meshage_node_msa_timeout; if (!f) return 1; }
    {
        meshage_status (*f)(meshage_node *node, int32_t ms) =
            meshage_node_set_msa_timeout;
        if (!f) return 1;
    }
    { meshage_status (*f)(meshage_node *node) = meshage_node_msa; if (!f) return 1; }
    {
        meshage_status (*f)(const meshage_node *node, meshage_names **out) =
            meshage_node_peers;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(const meshage_node *node, meshage_mesh **out) =
            meshage_node_mesh;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(const meshage_node *node, char **out) =
            meshage_node_dot;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(const meshage_node *node, meshage_stats **out) =
            meshage_node_stats;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_node *node, const char *const *names,
            size_t count, int32_t timeout_ms) = meshage_node_wait;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_node *node, const char *address, int32_t timeout_ms) =
            meshage_dial;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_node *node, const char *peer) =
            meshage_hangup;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_node *node, const char *const *recipients, size_t count,
            const void *body, size_t len, int32_t timeout_ms, meshage_report **report) =
            meshage_set;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_node *node, const void *body,
            size_t len, int32_t timeout_ms, meshage_report **report) = meshage_broadcast;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(const meshage_node *node, meshage_names **out) =
            meshage_broadcast_recipients;
        if (!f) return 1;
    }
    {
        meshage_message * (*f)(const void *body, size_t len) =
            meshage_message_create;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_message *message, const char *name) =
            meshage_message_add_recipient;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_message *message, int32_t encoding) =
            meshage_message_set_encoding;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_node *node, const meshage_message *message,
            int32_t timeout_ms, meshage_report **report) = meshage_send;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_node *node, const meshage_message *message, int32_t timeout_ms,
            meshage_report_cb cb, void *user_data, meshage_op **op) = meshage_send_async;
        if (!f) return 1;
    }
    { void (*f)(meshage_op *op) = meshage_op_cancel; if (!f) return 1; }
    { void (*f)(meshage_op *op) = meshage_op_free; if (!f) return 1; }
    { size_t (*f)(const meshage_report *report) = meshage_report_count; if (!f) return 1; }
    { size_t (*f)(const meshage_report *report) = meshage_report_delivered; if (!f) return 1; }
    {
        const char * (*f)(const meshage_report *report, size_t i) =
            meshage_report_recipient;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(const meshage_report *report, size_t i) =
            meshage_report_status;
        if (!f) return 1;
    }
    { void (*f)(meshage_report *report) = meshage_report_free; if (!f) return 1; }
    {
        meshage_status (*f)(meshage_node *node, int32_t timeout_ms, meshage_message **out) =
            meshage_recv;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_node *node, int32_t timeout_ms, size_t max,
            meshage_message_cb cb, void *user_data, size_t *handled) = meshage_poll;
        if (!f) return 1;
    }
    { meshage_status (*f)(meshage_node *node, int *fd) = meshage_recv_fd; if (!f) return 1; }
    {
        meshage_status (*f)(meshage_node *node, meshage_message_cb cb,
            void *user_data, meshage_drop_cb drop) = meshage_on_message;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_node *node, meshage_snoop_cb cb,
            void *user_data, meshage_drop_cb drop) = meshage_on_snoop;
        if (!f) return 1;
    }
    {
        meshage_status (*f)(meshage_node *node, meshage_event_cb cb,
            void *user_data, meshage_drop_cb drop) = meshage_on_event;
        if (!f) return 1;
    }
    {
        const char * (*f)(const meshage_message *message) =
            meshage_message_source;
        if (!f) return 1;
    }
    {
        const void * (*f)(const meshage_message *message, size_t *len) =
            meshage_message_body;
        if (!f) return 1;
    }
    { int32_t (*f)(const meshage_message *message) = meshage_message_encoding; if (!f) return 1; }
    { uint64_t (*f)(const meshage_message *message) = meshage_message_id; if (!f) return 1; }
    { uint64_t (*f)(const meshage_message *message) = meshage_message_instance; if (!f) return 1; }
    {
        size_t (*f)(const meshage_message *message) =
            meshage_message_recipient_count;
        if (!f) return 1;
    }
    {
        const char * (*f)(const meshage_message *message, size_t i) =
            meshage_message_recipient;
        if (!f) return 1;
    }
    { size_t (*f)(const meshage_message *message) = meshage_message_hop_count; if (!f) return 1; }
    {
        const char * (*f)(const meshage_message *message, size_t i) =
            meshage_message_hop;
        if (!f) return 1;
    }
    {
        meshage_message * (*f)(const meshage_message *message) =
            meshage_message_clone;
        if (!f) return 1;
    }
    { void (*f)(meshage_message *message) = meshage_message_free; if (!f) return 1; }
    { size_t (*f)(const meshage_names *names) = meshage_names_count; if (!f) return 1; }
    {
        const char * (*f)(const meshage_names *names, size_t i) =
            meshage_names_get;
        if (!f) return 1;
    }
    { void (*f)(meshage_names *names) = meshage_names_free; if (!f) return 1; }
    { size_t (*f)(const meshage_mesh *mesh) = meshage_mesh_count; if (!f) return 1; }
    { const char * (*f)(const meshage_mesh *mesh, size_t i) = meshage_mesh_name; if (!f) return 1; }
    { size_t (*f)(const meshage_mesh *mesh, size_t i) = meshage_mesh_degree; if (!f) return 1; }
    {
        const char * (*f)(const meshage_mesh *mesh, size_t i, size_t j) =
            meshage_mesh_neighbor;
        if (!f) return 1;
    }
    { void (*f)(meshage_mesh *mesh) = meshage_mesh_free; if (!f) return 1; }
    { int32_t (*f)(const meshage_event *event) = meshage_event_kind_of; if (!f) return 1; }
    { const char * (*f)(const meshage_event *event) = meshage_event_node; if (!f) return 1; }
    {
        meshage_status (*f)(meshage_node *node, int32_t timeout_ms, meshage_event **out) =
            meshage_next_event;
        if (!f) return 1;
    }
    { void (*f)(meshage_event *event) = meshage_event_free; if (!f) return 1; }
    { size_t (*f)(const meshage_stats *stats) = meshage_stats_count; if (!f) return 1; }
    {
        const char * (*f)(const meshage_stats *stats, size_t i) =
            meshage_stats_name;
        if (!f) return 1;
    }
    { uint64_t (*f)(const meshage_stats *stats, size_t i) = meshage_stats_value; if (!f) return 1; }
    {
        meshage_status (*f)(const meshage_stats *stats, const char *name, uint64_t *out) =
            meshage_stats_get;
        if (!f) return 1;
    }
    { void (*f)(meshage_stats *stats) = meshage_stats_free; if (!f) return 1; }
    return 0;
}

static int types(void)
{
    { void (*f)(void *user_data) = NULL; meshage_drop_cb c = f; if (c) return 1; }
    {
        void (*f)(void *user_data, meshage_message *owned) = NULL;
        meshage_message_cb c = f;
        if (c) return 1;
    }
    {
        void (*f)(void *user_data, const meshage_message *borrowed) = NULL;
        meshage_snoop_cb c = f;
        if (c) return 1;
    }
    {
        void (*f)(void *user_data, const meshage_event *borrowed) = NULL;
        meshage_event_cb c = f;
        if (c) return 1;
    }
    {
        void (*f)(void *user_data, meshage_status status, meshage_report *owned) = NULL;
        meshage_report_cb c = f;
        if (c) return 1;
    }
    {
        void (*f)(void *user_data, int32_t level, const char *target, const char *text) = NULL;
        meshage_log_cb c = f;
        if (c) return 1;
    }
    { struct meshage_config *p = NULL; meshage_config *q = p; if (q) return 1; }
    { struct meshage_node *p = NULL; meshage_node *q = p; if (q) return 1; }
    { struct meshage_message *p = NULL; meshage_message *q = p; if (q) return 1; }
    { struct meshage_report *p = NULL; meshage_report *q = p; if (q) return 1; }
    { struct meshage_op *p = NULL; meshage_op *q = p; if (q) return 1; }
    { struct meshage_send_options *p = NULL; meshage_send_options *q = p; if (q) return 1; }
    { struct meshage_names *p = NULL; meshage_names *q = p; if (q) return 1; }
    { struct meshage_mesh *p = NULL; meshage_mesh *q = p; if (q) return 1; }
    { struct meshage_event *p = NULL; meshage_event *q = p; if (q) return 1; }
    { struct meshage_stats *p = NULL; meshage_stats *q = p; if (q) return 1; }
    { enum meshage_status e = (enum meshage_status)0; meshage_status f = e; if (f != 0) return 1; }
    {
        enum meshage_event_kind e = (enum meshage_event_kind)0;
        meshage_event_kind f = e;
        if (f != 0) return 1;
    }
    {
        enum meshage_encoding e = (enum meshage_encoding)0;
        meshage_encoding f = e;
        if (f != 0) return 1;
    }
    return 0;
}

static int values(void)
{
    IS(MESHAGE_INFINITE, -1);
    IS(MESHAGE_DEFAULT, -2);
    IS(MESHAGE_DEFAULT_TIMEOUT_MS, 10000);
    IS(MESHAGE_DEFAULT_MSA_TIMEOUT_MS, 10000);
    IS(MESHAGE_DEFAULT_PORT, 9000);
    IS(MESHAGE_RECEIVE_BUFFER, 1024);
    IS(MESHAGE_SOLICIT_LIMIT, 16);
    IS(MESHAGE_SOLICIT_RATIO, 8);
    IS(MESHAGE_LOLLIPOP_LENGTH, 16);
    IS(MESHAGE_OK, 0);
    IS(MESHAGE_ERR_NULL, -1);
    IS(MESHAGE_ERR_INVALID, -2);
    IS(MESHAGE_ERR_UTF8, -3);
    IS(MESHAGE_ERR_TIMEOUT, -4);
    IS(MESHAGE_ERR_AGAIN, -5);
    IS(MESHAGE_ERR_CLOSED, -6);
    IS(MESHAGE_ERR_CANCELED, -7);
    IS(MESHAGE_ERR_PARTIAL, -8);
    IS(MESHAGE_ERR_NO_ROUTE, -9);
    IS(MESHAGE_ERR_NOT_FOUND, -10);
    IS(MESHAGE_ERR_EXISTS, -11);
    IS(MESHAGE_ERR_SELF, -12);
    IS(MESHAGE_ERR_IO, -13);
    IS(MESHAGE_ERR_ADDR_IN_USE, -14);
    IS(MESHAGE_ERR_REFUSED, -15);
    IS(MESHAGE_ERR_AUTH, -16);
    IS(MESHAGE_ERR_PROTOCOL, -17);
    IS(MESHAGE_ERR_TOO_LARGE, -18);
    IS(MESHAGE_ERR_BUSY, -19);
    IS(MESHAGE_ERR_STATE, -20);
    IS(MESHAGE_ERR_FORKED, -21);
    IS(MESHAGE_ERR_UNSUPPORTED, -22);
    IS(MESHAGE_ERR_LOST, -23);
    IS(MESHAGE_ERR_PANIC, -99);
    IS(MESHAGE_EVENT_LINK_UP, 1);
    IS(MESHAGE_EVENT_LINK_DOWN, 2);
    IS(MESHAGE_EVENT_NODE_JOINED, 3);
    IS(MESHAGE_EVENT_NODE_LEFT, 4);
    IS(MESHAGE_EVENT_TOPOLOGY, 5);
    IS(MESHAGE_EVENT_NAME_CONFLICT, 6);
    IS(MESHAGE_EVENT_OVERFLOW, 7);
    IS(MESHAGE_ENCODING_BYTES, 0);
    IS(MESHAGE_ENCODING_TEXT, 1);
    IS(MESHAGE_ENCODING_JSON, 2);
    IS(MESHAGE_ENCODING_BINCODE, 3);
    IS(MESHAGE_ENCODING_GOB, 4);
    IS(MESHAGE_VERSION_NUMBER, (MESHAGE_VERSION_MAJOR << 16) + (MESHAGE_VERSION_MINOR << 8) +
        MESHAGE_VERSION_PATCH);
    IS(meshage_version_number(), (uint32_t)MESHAGE_VERSION_NUMBER);
    IS(strcmp(meshage_version(), MESHAGE_VERSION_STRING), 0);
    return 0;
}

int main(void)
{
    int failed = functions() + types() + values();
    printf("%s\n", failed ? "the header differs from the contract" : "ok");
    return failed;
}
