/* Closed meshes: who can link, what errors and events say, key files, and changes of the keys. */
#include "check.h"

#include <sys/stat.h>

#define KEY_BYTES 32
/* A dial that is refused because of the keys ends long before this. */
#define FAST_MS 5000

struct key {
    uint8_t bytes[KEY_BYTES];
    char id[17];
    char hex[2 * KEY_BYTES + 1];
};

static struct key new_key(void)
{
    struct key key;
    int i;
    OK(meshage_key_generate(key.bytes));
    OK(meshage_key_id(key.bytes, KEY_BYTES, key.id));
    CHECK(strlen(key.id) == 16);
    for (i = 0; i < KEY_BYTES; i++)
        snprintf(key.hex + 2 * i, 3, "%02x", key.bytes[i]);
    return key;
}

static meshage_config *local(const char *name)
{
    meshage_config *config = meshage_config_create(name);
    CHECK(config != NULL);
    OK(meshage_config_bind(config, "127.0.0.1"));
    OK(meshage_config_port(config, 0));
    return config;
}

static meshage_node *created(meshage_config *config)
{
    meshage_node *node = NULL;
    OK(meshage_node_create(config, &node));
    meshage_config_free(config);
    return node;
}

/* A node with one key, or an open one without. */
static meshage_node *closed(const char *name, const struct key *key)
{
    meshage_config *config = local(name);
    if (key != NULL)
        OK(meshage_config_key(config, key->bytes, KEY_BYTES));
    return created(config);
}

/* Whether the ids of the node's keys are these, in this order. */
static int has_keys(meshage_node *node, const struct key *first, const struct key *second)
{
    meshage_names *ids = NULL;
    size_t expected = first == NULL ? 0 : second == NULL ? 1 : 2;
    int equal;
    OK(meshage_node_keys(node, &ids));
    equal = meshage_names_count(ids) == expected &&
            (first == NULL || !strcmp(meshage_names_get(ids, 0), first->id)) &&
            (second == NULL || !strcmp(meshage_names_get(ids, 1), second->id));
    meshage_names_free(ids);
    return equal;
}

static void exchange(meshage_node *a, meshage_node *b)
{
    meshage_message *message;
    OK(set_text(a, meshage_node_name(b), "to b"));
    message = receive(b);
    CHECK(body_is(message, "to b"));
    meshage_message_free(message);
    OK(set_text(b, meshage_node_name(a), "to a"));
    meshage_message_free(receive(a));
}

static long now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* A dial fails soon, and its error names these key ids, if there are any. */
static void is_refused(meshage_node *from, const char *address, const struct key *heard,
                       const struct key *own)
{
    long begin = now_ms();
    STATUS(MESHAGE_ERR_AUTH, meshage_dial(from, address, MESHAGE_INFINITE));
    CHECK(now_ms() - begin < FAST_MS);
    CHECK(heard == NULL || strstr(meshage_last_error(), heard->id) != NULL);
    CHECK(own == NULL || strstr(meshage_last_error(), own->id) != NULL);
    CHECK(heard == NULL || strstr(meshage_last_error(), heard->hex) == NULL);
    CHECK(own == NULL || strstr(meshage_last_error(), own->hex) == NULL);
}

static void holders_of_a_key_exchange_messages(void)
{
    const struct key key = new_key();
    meshage_node *a = closed("a", &key), *b;
    meshage_config *config = local("b");
    /* The text of the key is as good as the key. */
    OK(meshage_config_key(config, (const uint8_t *)key.hex, strlen(key.hex)));
    b = created(config);
    CHECK(has_keys(a, &key, NULL) && has_keys(b, &key, NULL));
    join(a, b);
    exchange(a, b);
    meshage_node_free(a);
    meshage_node_free(b);
}

static void others_are_refused_at_once(void)
{
    const struct key right = new_key(), wrong = new_key();
    meshage_node *a = closed("a", &right), *b = closed("b", &wrong), *open = closed("open", NULL);
    is_refused(b, address_of(a), &right, &wrong);
    is_refused(a, address_of(b), &wrong, &right);
    is_refused(open, address_of(a), &right, NULL);
    is_refused(a, address_of(open), NULL, NULL);
    CHECK(strstr(meshage_last_error(), "does not encrypt") != NULL);
    meshage_node_free(a);
    meshage_node_free(b);
    meshage_node_free(open);
}

static void an_event_says_which_keys_were_heard(void)
{
    const struct key right = new_key(), wrong = new_key();
    meshage_node *a = closed("a", &right), *b = closed("b", &wrong);
    meshage_event *event = NULL;
    STATUS(MESHAGE_ERR_AUTH, meshage_dial(b, address_of(a), SOON_MS));
    do {
        meshage_event_free(event);
        OK(meshage_next_event(b, SOON_MS, &event));
    } while (meshage_event_kind_of(event) != MESHAGE_EVENT_KEY_MISMATCH);
    CHECK(!strcmp(meshage_event_address(event), address_of(a)));
    CHECK(meshage_event_key_id_count(event) == 1);
    CHECK(!strcmp(meshage_event_key_id(event, 0), right.id));
    CHECK(meshage_event_key_id(event, 1) == NULL);
    CHECK(strstr(meshage_event_reason(event), right.id) != NULL);
    CHECK(!strcmp(meshage_event_node(event), ""));
    meshage_event_free(event);
    meshage_node_free(a);
    meshage_node_free(b);
}

static void keys_change_on_a_running_mesh(void)
{
    const struct key old = new_key(), new = new_key();
    meshage_node *a = closed("a", &old), *b = closed("b", &old), *late;
    join(a, b);
    STATUS(MESHAGE_ERR_STATE, meshage_node_key_remove(a, old.id));
    STATUS(MESHAGE_ERR_NOT_FOUND, meshage_node_key_use(a, new.id));
    STATUS(MESHAGE_ERR_NOT_FOUND, meshage_node_key_remove(a, new.id));
    STATUS(MESHAGE_ERR_INVALID, meshage_node_key_use(a, "no id"));
    STATUS(MESHAGE_ERR_INVALID, meshage_node_key_add(a, new.bytes, KEY_BYTES - 1));
    OK(meshage_node_key_add(a, new.bytes, KEY_BYTES));
    OK(meshage_node_key_add(b, new.bytes, KEY_BYTES));
    OK(meshage_node_key_add(b, new.bytes, KEY_BYTES));
    CHECK(has_keys(a, &old, &new));
    exchange(a, b);
    OK(meshage_node_key_use(a, new.id));
    OK(meshage_node_key_use(b, new.id));
    CHECK(has_keys(b, &new, &old));
    exchange(a, b);
    OK(meshage_node_key_remove(a, old.id));
    OK(meshage_node_key_remove(b, old.id));
    CHECK(has_keys(a, &new, NULL));
    exchange(a, b);
    /* A node that slept through it joins as soon as it has the new key. */
    late = closed("late", &old);
    is_refused(late, address_of(a), &new, &old);
    OK(meshage_node_key_add(late, new.bytes, KEY_BYTES));
    join(late, a);
    exchange(late, b);
    meshage_node_free(a);
    meshage_node_free(b);
    meshage_node_free(late);
}

static void write_file(const char *path, const char *text, mode_t mode)
{
    FILE *file = fopen(path, "w");
    CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
    CHECK(chmod(path, mode) == 0);
}

/* The file is beside the program, which is at `program`. */
static void a_key_file_belongs_to_its_owner(const char *program)
{
    const struct key first = new_key(), second = new_key();
    char path[1024], text[256];
    meshage_config *config = local("a");
    meshage_node *a, *b;
    CHECK(snprintf(path, sizeof path, "%s-%ld.key", program, (long)getpid()) < (int)sizeof path);
    STATUS(MESHAGE_ERR_INVALID, meshage_config_key_file(config, path));
    snprintf(text, sizeof text, "# of this test\n%s\n", first.hex);
    write_file(path, text, 0644);
    STATUS(MESHAGE_ERR_INVALID, meshage_config_key_file(config, path));
    CHECK(strstr(meshage_last_error(), path) != NULL);
    CHECK(strstr(meshage_last_error(), first.hex) == NULL);
    write_file(path, text, 0600);
    OK(meshage_config_key_file(config, path));
    a = created(config);
    b = closed("b", &first);
    STATUS(MESHAGE_ERR_STATE, meshage_node_keys_reload(b));
    join(a, b);
    snprintf(text, sizeof text, "%s\n%s # the old one\n", second.hex, first.hex);
    write_file(path, text, 0600);
    OK(meshage_node_keys_reload(a));
    CHECK(has_keys(a, &second, &first));
    exchange(a, b);
    write_file(path, "nonsense\n", 0600);
    STATUS(MESHAGE_ERR_INVALID, meshage_node_keys_reload(a));
    CHECK(has_keys(a, &second, &first));
    CHECK(unlink(path) == 0);
    meshage_node_free(a);
    meshage_node_free(b);
}

static void bad_arguments_are_errors(void)
{
    const struct key key = new_key();
    char id[17] = "x";
    uint8_t bytes[KEY_BYTES];
    meshage_config *config = local("a");
    meshage_node *node = NULL, *open = closed("open", NULL);
    STATUS(MESHAGE_ERR_INVALID, meshage_key_id(key.bytes, 31, id));
    CHECK(id[0] == '\0');
    STATUS(MESHAGE_ERR_INVALID, meshage_config_key(config, key.bytes, 0));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_key(config, key.bytes, (size_t)-1));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_root(config, key.bytes, 33));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_allow(config, "no spaces", key.bytes, KEY_BYTES));
    STATUS(MESHAGE_ERR_INVALID, meshage_config_allow(config, "b", key.bytes, 1));
    /* Options that do not fit together. */
    OK(meshage_config_signed(config, true));
    STATUS(MESHAGE_ERR_INVALID, meshage_node_create(config, &node));
    OK(meshage_config_allow(config, "b", key.bytes, KEY_BYTES));
    STATUS(MESHAGE_ERR_INVALID, meshage_node_create(config, &node));
    OK(meshage_config_key(config, key.bytes, KEY_BYTES));
    STATUS(MESHAGE_ERR_INVALID, meshage_node_create(config, &node));
    CHECK(strstr(meshage_last_error(), "identity") != NULL);
    OK(meshage_config_identity_file(config, "/nowhere"));
    OK(meshage_config_ticket_file(config, "/nowhere"));
    STATUS(MESHAGE_ERR_INVALID, meshage_node_create(config, &node));
    CHECK(node == NULL && strstr(meshage_last_error(), "/nowhere") != NULL);
    meshage_config_free(config);
    /* An open node stays open. */
    CHECK(has_keys(open, NULL, NULL));
    STATUS(MESHAGE_ERR_STATE, meshage_node_key_add(open, key.bytes, KEY_BYTES));
    STATUS(MESHAGE_ERR_STATE, meshage_node_key_use(open, key.id));
    STATUS(MESHAGE_ERR_STATE, meshage_node_public_key(open, bytes));
    STATUS(MESHAGE_ERR_STATE, meshage_node_revoke(open, key.bytes, KEY_BYTES));
    meshage_node_free(open);
    node = closed("a", &key);
    OK(meshage_node_public_key(node, bytes));
    CHECK(memcmp(bytes, key.bytes, KEY_BYTES) != 0);
    STATUS(MESHAGE_ERR_STATE, meshage_node_revoke(node, key.bytes, KEY_BYTES));
    meshage_node_close(node);
    STATUS(MESHAGE_ERR_CLOSED, meshage_node_key_add(node, key.bytes, KEY_BYTES));
    meshage_node_free(node);
}

static void a_node_has_at_most_eight_keys(void)
{
    struct key key = new_key();
    meshage_node *node = closed("a", &key);
    int i;
    for (i = 1; i < 8; i++) {
        key = new_key();
        OK(meshage_node_key_add(node, key.bytes, KEY_BYTES));
    }
    OK(meshage_node_key_add(node, key.bytes, KEY_BYTES));
    key = new_key();
    STATUS(MESHAGE_ERR_STATE, meshage_node_key_add(node, key.bytes, KEY_BYTES));
    meshage_node_free(node);
}

int main(int argc, char **argv)
{
    CHECK(argc > 0);
    holders_of_a_key_exchange_messages();
    others_are_refused_at_once();
    an_event_says_which_keys_were_heard();
    keys_change_on_a_running_mesh();
    a_key_file_belongs_to_its_owner(argv[0]);
    bad_arguments_are_errors();
    a_node_has_at_most_eight_keys();
    return 0;
}
