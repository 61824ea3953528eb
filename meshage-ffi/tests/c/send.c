/* Sends and their reports: to one node, several, all, none, the sender itself, unknown nodes; and
 * the smallest and largest bodies. */
#include "check.h"

#define LARGEST ((size_t)64 << 20)

static void to_one(meshage_node *a, meshage_node *b)
{
    const char *to = "b", *reply_to = "a";
    meshage_report *report = NULL;
    meshage_message *message;
    OK(meshage_set(a, &to, 1, "hello", 5, SOON_MS, &report));
    CHECK(meshage_report_count(report) == 1 && meshage_report_delivered(report) == 1);
    CHECK(strcmp(meshage_report_recipient(report, 0), "b") == 0);
    OK(meshage_report_status(report, 0));
    CHECK(meshage_report_recipient(report, 1) == NULL);
    STATUS(MESHAGE_ERR_INVALID, meshage_report_status(report, 1));
    meshage_report_free(report);
    message = receive(b);
    CHECK(body_is(message, "hello"));
    CHECK(strcmp(meshage_message_source(message), "a") == 0);
    CHECK(meshage_message_recipient_count(message) == 1);
    CHECK(strcmp(meshage_message_recipient(message, 0), "b") == 0);
    CHECK(meshage_message_recipient(message, 1) == NULL);
    CHECK(meshage_message_hop_count(message) == 1);
    CHECK(strcmp(meshage_message_hop(message, 0), "a") == 0);
    CHECK(meshage_message_hop(message, 1) == NULL);
    CHECK(meshage_message_encoding(message) == MESHAGE_ENCODING_BYTES);
    CHECK(meshage_message_instance(message) != 0);
    STATUS(MESHAGE_ERR_STATE, meshage_message_add_recipient(message, "c"));
    STATUS(MESHAGE_ERR_STATE, meshage_message_set_encoding(message, 1));
    meshage_message_free(message);
    OK(meshage_set(b, &reply_to, 1, "reply", 5, MESHAGE_DEFAULT, NULL));
    message = receive(a);
    CHECK(body_is(message, "reply"));
    meshage_message_free(message);
}

static void failing(meshage_node *a)
{
    const char *self[2] = {"a", "b"}, *unknown[2] = {"nobody", "b"};
    meshage_report *report = NULL;
    STATUS(MESHAGE_ERR_SELF, meshage_set(a, self, 1, "x", 1, SOON_MS, &report));
    CHECK(report == NULL);
    STATUS(MESHAGE_ERR_NO_ROUTE, meshage_set(a, unknown, 1, "x", 1, SOON_MS, &report));
    CHECK(meshage_report_count(report) == 1 && meshage_report_delivered(report) == 0);
    STATUS(MESHAGE_ERR_NO_ROUTE, meshage_report_status(report, 0));
    meshage_report_free(report);
    STATUS(MESHAGE_ERR_PARTIAL, meshage_set(a, unknown, 2, "partial", 7, SOON_MS, &report));
    CHECK(meshage_report_count(report) == 2 && meshage_report_delivered(report) == 1);
    CHECK(strcmp(meshage_report_recipient(report, 0), "nobody") == 0);
    STATUS(MESHAGE_ERR_NO_ROUTE, meshage_report_status(report, 0));
    OK(meshage_report_status(report, 1));
    CHECK(strstr(meshage_last_error(), "nobody") != NULL);
    meshage_report_free(report);
    STATUS(MESHAGE_ERR_PARTIAL, meshage_set(a, unknown, 2, "partial", 7, SOON_MS, NULL));
    /* If there are other recipients, the sender is skipped. */
    OK(meshage_set(a, self, 2, "skipped", 7, SOON_MS, &report));
    CHECK(meshage_report_count(report) == 1);
    meshage_report_free(report);
}

static void expect(meshage_node *node, const char *text)
{
    meshage_message *message = receive(node);
    CHECK(body_is(message, text));
    meshage_message_free(message);
}

static void broadcasts(meshage_node *a, meshage_node *b, meshage_node *c)
{
    meshage_report *report = NULL;
    meshage_names *names = NULL;
    meshage_message *message;
    OK(meshage_broadcast_recipients(a, &names));
    CHECK(meshage_names_count(names) == 2);
    CHECK(strcmp(meshage_names_get(names, 1), "c") == 0);
    meshage_names_free(names);
    OK(meshage_broadcast(a, "all", 3, SOON_MS, &report));
    CHECK(meshage_report_count(report) == 2 && meshage_report_delivered(report) == 2);
    meshage_report_free(report);
    expect(b, "all");
    message = receive(c);
    CHECK(meshage_message_recipient_count(message) == 0);
    CHECK(meshage_message_hop_count(message) == 2);
    CHECK(strcmp(meshage_message_hop(message, 1), "b") == 0);
    meshage_message_free(message);
}

static void created(meshage_node *a, meshage_node *b, meshage_node *c)
{
    meshage_message *message = meshage_message_create("{}", 2), *copy, *received;
    const char *borrowed;
    size_t len, copied_len;
    CHECK(strcmp(meshage_message_source(message), "") == 0);
    CHECK(meshage_message_id(message) == 0 && meshage_message_hop_count(message) == 0);
    OK(meshage_message_set_encoding(message, MESHAGE_ENCODING_JSON));
    OK(meshage_send(a, message, SOON_MS, NULL));
    expect(b, "{}");
    received = receive(c);
    CHECK(meshage_message_encoding(received) == MESHAGE_ENCODING_JSON);
    meshage_message_free(received);
    OK(meshage_message_add_recipient(message, "c"));
    borrowed = meshage_message_recipient(message, 0);
    copy = meshage_message_clone(message);
    CHECK(meshage_message_body(copy, &copied_len) == meshage_message_body(message, &len));
    CHECK(len == copied_len);
    OK(meshage_message_add_recipient(copy, "b"));
    OK(meshage_message_add_recipient(message, "b"));
    OK(meshage_message_add_recipient(message, "b"));
    CHECK(strcmp(borrowed, "c") == 0 && borrowed == meshage_message_recipient(message, 0));
    CHECK(meshage_message_recipient_count(copy) == 2);
    OK(meshage_send(a, message, SOON_MS, NULL));
    meshage_message_free(message);
    expect(b, "{}");
    expect(c, "{}");
    OK(meshage_send(a, copy, SOON_MS, NULL));
    meshage_message_free(copy);
    expect(b, "{}");
    expect(c, "{}");
}

static void sizes(meshage_node *a, meshage_node *b)
{
    const char *to = "b";
    size_t len = 7, i;
    unsigned char *large = malloc(LARGEST + 1);
    meshage_report *report = (meshage_report *)&len;
    meshage_message *message;
    const unsigned char *body;
    CHECK(large != NULL);
    for (i = 0; i <= LARGEST; i++)
        large[i] = (unsigned char)(i * 7 + i / 251);
    OK(meshage_set(a, &to, 1, NULL, 0, SOON_MS, NULL));
    message = receive(b);
    CHECK(meshage_message_body(message, &len) != NULL && len == 0);
    meshage_message_free(message);
    OK(meshage_set(a, &to, 1, large, LARGEST, 4 * SOON_MS, NULL));
    message = receive(b);
    body = meshage_message_body(message, &len);
    CHECK(len == LARGEST && memcmp(body, large, LARGEST) == 0);
    meshage_message_free(message);
    STATUS(MESHAGE_ERR_TOO_LARGE, meshage_set(a, &to, 1, large, LARGEST + 1, SOON_MS, &report));
    CHECK(report == NULL);
    STATUS(MESHAGE_ERR_TOO_LARGE, meshage_broadcast(a, large, LARGEST + 1, SOON_MS, NULL));
    STATUS(MESHAGE_ERR_TOO_LARGE, meshage_broadcast(a, large, (size_t)-1, SOON_MS, NULL));
    CHECK(meshage_message_create(large, (size_t)-1) == NULL);
    free(large);
}

int main(void)
{
    const char *c_name = "c";
    meshage_report *report = NULL;
    meshage_message *none = NULL;
    meshage_node *a = start("a"), *b = start("b"), *c = start("c");
    OK(meshage_broadcast(a, "no nodes", 8, SOON_MS, &report));
    CHECK(report != NULL && meshage_report_count(report) == 0);
    meshage_report_free(report);
    join(a, b);
    join(b, c);
    OK(meshage_node_wait(a, &c_name, 1, SOON_MS));
    wait_for(c, "a");
    to_one(a, b);
    failing(a);
    expect(b, "partial");
    expect(b, "partial");
    expect(b, "skipped");
    broadcasts(a, b, c);
    created(a, b, c);
    sizes(a, b);
    STATUS(MESHAGE_ERR_AGAIN, meshage_recv(b, 0, &none));
    meshage_node_close(a);
    STATUS(MESHAGE_ERR_CLOSED, set_text(a, "b", "x"));
    meshage_node_free(a);
    meshage_node_free(b);
    meshage_node_free(c);
    return 0;
}
