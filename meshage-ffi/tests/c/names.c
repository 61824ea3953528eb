/* Strings and numbers that are not valid: bad UTF-8, names that are too long or contain colons and
 * spaces, numbers that are out of range. The last error describes each. */
#include "check.h"

#define BAD_UTF8 "\xff\xfe"

static meshage_status create(const char *name)
{
    meshage_node *node = NULL;
    meshage_config *config = meshage_config_create(name);
    meshage_status status;
    CHECK(config != NULL);
    OK(meshage_config_bind(config, "127.0.0.1"));
    OK(meshage_config_port(config, 0));
    status = meshage_node_create(config, &node);
    meshage_config_free(config);
    CHECK((node != NULL) == (status == MESHAGE_OK));
    meshage_node_free(node);
    return status;
}

static void node_names(void)
{
    char longest[65], longer[66];
    memset(longest, 'x', 64);
    memset(longer, 'x', 65);
    longest[64] = longer[65] = '\0';
    CHECK(meshage_config_create(BAD_UTF8) == NULL);
    CHECK(strlen(meshage_last_error()) > 0);
    STATUS(MESHAGE_ERR_INVALID, create(""));
    CHECK(strstr(meshage_last_error(), "empty") != NULL);
    STATUS(MESHAGE_ERR_INVALID, create("a b"));
    CHECK(strstr(meshage_last_error(), "letters, digits") != NULL);
    STATUS(MESHAGE_ERR_INVALID, create("a:b"));
    STATUS(MESHAGE_ERR_INVALID, create("a\nb"));
    STATUS(MESHAGE_ERR_INVALID, create("\xc3\xa4"));
    STATUS(MESHAGE_ERR_INVALID, create(longer));
    CHECK(strstr(meshage_last_error(), "the limit is 64") != NULL);
    OK(create(longest));
    CHECK(strcmp(meshage_last_error(), "") == 0);
    OK(create("a.b_c-D9"));
}

static void options(void)
{
    char longer[66], version[258];
    meshage_config *config = meshage_config_create("a");
    memset(longer, 'x', 65);
    longer[65] = '\0';
    memset(version, 'v', 257);
    version[257] = '\0';
    STATUS(MESHAGE_ERR_UTF8, meshage_config_namespace(config, BAD_UTF8));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_namespace(config, "a b"));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_namespace(config, longer));
    OK(meshage_config_namespace(config, ""));
    OK(meshage_config_degree(config, 256));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_degree(config, 257));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_broadcast(config, "nowhere"));
    STATUS(MESHAGE_ERR_UTF8, meshage_config_broadcast(config, BAD_UTF8));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_broadcast(config, "fe80::1"));
    CHECK(strstr(meshage_last_error(), "needs a zone") != NULL);
    OK(meshage_config_broadcast(config, "ff02::1"));
    OK(meshage_config_broadcast(config, "[ff02::1%no-such-0]:9000"));
    STATUS(MESHAGE_ERR_UTF8, meshage_config_interface(config, BAD_UTF8));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_interface(config, ""));
    OK(meshage_config_interface(config, "no-such-0"));
    OK(meshage_config_interface(config, "no-such-1"));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_bind(config, ""));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_bind(config, "[fe80::1]:9000"));
    OK(meshage_config_bind(config, "fe80::1%no-such-0"));
    STATUS(MESHAGE_ERR_UTF8, meshage_config_version(config, BAD_UTF8));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_version(config, version));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_timeout(config, -3));
    OK(meshage_config_timeout(config, MESHAGE_INFINITE));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_timeout(config, MESHAGE_DEFAULT));
    CHECK(strstr(meshage_last_error(), "timeout") != NULL);
    OK(meshage_config_timeout(config, 0));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_msa_timeout(config, 99));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_msa_timeout(config, MESHAGE_INFINITE));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_msa_timeout(config, MESHAGE_DEFAULT));
    OK(meshage_config_msa_timeout(config, 100));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_receive_buffer(config, 0));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_receive_buffer(config, (size_t)-1));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_max_message(config, 0));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_worker_threads(config, 0));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_worker_threads(config, 65));
    STATUS(MESHAGE_ERR_UTF8, meshage_config_seed_address(config, BAD_UTF8));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_seed_address(config, ""));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_seed_address(config, "h:99999"));
    OK(meshage_config_seed_address(config, "host"));
    OK(meshage_config_seed_address(config, "[::1]:9000"));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_seed_address(config, "fe80::1"));
    OK(meshage_config_seed_address(config, "[fe80::1%no-such-0]:9000"));
    meshage_config_free(config);
}

static void arguments(void)
{
    const char *bad = BAD_UTF8, *spaced = "a b", *none = "";
    meshage_node *node = start("a");
    meshage_message *message = meshage_message_create("x", 1);
    meshage_message *out = (meshage_message *)&node;
    STATUS(MESHAGE_ERR_UTF8, meshage_set(node, &bad, 1, "x", 1, 0, NULL));
    STATUS(MESHAGE_ERR_INVALID, meshage_set(node, &spaced, 1, "x", 1, 0, NULL));
    STATUS(MESHAGE_ERR_INVALID, meshage_set(node, &none, 1, "x", 1, 0, NULL));
    STATUS(MESHAGE_ERR_INVALID, meshage_set(node, NULL, 0, "x", 1, 0, NULL));
    STATUS(MESHAGE_ERR_INVALID, meshage_set(node, &none, 0, "x", 1, 0, NULL));
    STATUS(MESHAGE_ERR_UTF8, meshage_node_wait(node, &bad, 1, 0));
    STATUS(MESHAGE_ERR_INVALID, meshage_node_wait(node, &spaced, 1, 0));
    STATUS(MESHAGE_ERR_UTF8, meshage_dial(node, BAD_UTF8, 0));
    STATUS(MESHAGE_ERR_UTF8, meshage_hangup(node, BAD_UTF8));
    STATUS(MESHAGE_ERR_NOT_FOUND, meshage_hangup(node, "b"));
    STATUS(MESHAGE_ERR_NOT_FOUND, meshage_hangup(node, "a b"));
    STATUS(MESHAGE_ERR_INVALID, meshage_recv(node, -3, &out));
    CHECK(out == NULL);
    STATUS(MESHAGE_ERR_INVALID, meshage_broadcast(node, "x", 1, -3, NULL));
    STATUS(MESHAGE_ERR_INVALID, meshage_node_set_degree(node, 257));
    OK(meshage_node_set_degree(node, 7));
    CHECK(meshage_node_degree(node) == 7);
    OK(meshage_node_set_degree(node, 0));
    STATUS(MESHAGE_ERR_INVALID, meshage_node_set_msa_timeout(node, 99));
    STATUS(MESHAGE_ERR_INVALID, meshage_node_set_msa_timeout(node, MESHAGE_INFINITE));
    OK(meshage_node_set_msa_timeout(node, 2500));
    CHECK(meshage_node_msa_timeout(node) == 2500);
    STATUS(MESHAGE_ERR_INVALID, meshage_node_set_msa_timeout(node, MESHAGE_DEFAULT));
    CHECK(meshage_node_msa_timeout(node) == 2500);
    STATUS(MESHAGE_ERR_UTF8, meshage_message_add_recipient(message, BAD_UTF8));
    STATUS(MESHAGE_ERR_INVALID, meshage_message_add_recipient(message, "a:b"));
    CHECK(meshage_message_recipient_count(message) == 0);
    STATUS(MESHAGE_ERR_INVALID, meshage_message_set_encoding(message, -1));
    OK(meshage_message_set_encoding(message, 1024));
    CHECK(meshage_message_encoding(message) == 1024);
    STATUS(MESHAGE_ERR_INVALID, meshage_on_log(6, NULL, NULL, NULL));
    STATUS(MESHAGE_ERR_INVALID, meshage_on_log(-1, NULL, NULL, NULL));
    meshage_message_free(message);
    meshage_node_free(node);
}

static void errors(void)
{
    char small[8], all[256];
    size_t len;
    int status;
    STATUS(MESHAGE_ERR_NULL, meshage_node_msa(NULL));
    len = meshage_last_error_copy(NULL, 0);
    CHECK(len == strlen(meshage_last_error()) && len > sizeof small);
    CHECK(meshage_last_error_copy(small, sizeof small) == len);
    CHECK(strncmp(small, meshage_last_error(), sizeof small - 1) == 0);
    CHECK(small[sizeof small - 1] == '\0');
    CHECK(meshage_last_error_copy(all, sizeof all) == len);
    CHECK(strcmp(all, meshage_last_error()) == 0);
    for (status = -120; status < 20; status++)
        CHECK(strlen(meshage_strerror(status)) > 0);
    CHECK(strcmp(meshage_strerror(MESHAGE_ERR_NULL), meshage_strerror(MESHAGE_ERR_BUSY)) != 0);
}

int main(void)
{
    node_names();
    options();
    arguments();
    errors();
    return 0;
}
