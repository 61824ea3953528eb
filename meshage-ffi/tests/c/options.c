/* The options of a send: retries, and a timeout of 0. */
#include "check.h"

#define MESSAGES 500

/* A message to a node that is not there yet arrives if it is retried. */
static void retrying(void)
{
    const char *to = "late";
    meshage_node *a = start("a"), *late;
    meshage_send_options *options = meshage_send_options_create();
    meshage_report *report = NULL;
    meshage_message *message;
    CHECK(options != NULL);
    OK(meshage_send_options_retry(options, true));
    STATUS(MESHAGE_ERR_INVALID, meshage_send_options_timeout(options, -3));
    OK(meshage_send_options_timeout(options, 20));
    STATUS(MESHAGE_ERR_NO_ROUTE, meshage_set_with(a, &to, 1, "x", 1, options, &report));
    CHECK(meshage_report_count(report) == 1);
    meshage_report_free(report);
    meshage_node_free(a);

    a = start("a");
    OK(meshage_send_options_timeout(options, SOON_MS));
    late = start("late");
    OK(meshage_dial(late, address_of(a), SOON_MS));
    OK(meshage_set_with(a, &to, 1, "arrives", 7, options, NULL));
    message = receive(late);
    CHECK(body_is(message, "arrives"));
    meshage_message_free(message);
    meshage_send_options_free(options);
    meshage_node_free(late);
    meshage_node_free(a);
}

struct sent {
    count ended;
    meshage_status status;
};

static void end(void *user_data, meshage_status status, meshage_report *owned)
{
    struct sent *sent = user_data;
    meshage_report_free(owned);
    sent->status = status;
    count_up(&sent->ended);
}

/* The same with a callback: the send begins before the recipient exists. */
static void retrying_with_a_callback(void)
{
    struct sent sent = {COUNT_INIT, MESHAGE_ERR_STATE};
    meshage_node *a = start("a"), *late;
    meshage_message *message = meshage_message_create("arrives", 7), *received;
    meshage_send_options *options = meshage_send_options_create();
    OK(meshage_message_add_recipient(message, "late"));
    OK(meshage_send_options_timeout(options, MESHAGE_INFINITE));
    /* Without retries there is no route. */
    OK(meshage_send_async_with(a, message, options, end, &sent, NULL));
    count_reaches(&sent.ended, 1);
    STATUS(MESHAGE_ERR_NO_ROUTE, sent.status);
    OK(meshage_send_options_retry(options, true));
    OK(meshage_send_async_with(a, message, options, end, &sent, NULL));
    meshage_send_options_free(options);
    late = start("late");
    join(a, late);
    count_reaches(&sent.ended, 2);
    OK(sent.status);
    received = receive(late);
    CHECK(body_is(received, "arrives"));
    meshage_message_free(received);
    meshage_message_free(message);
    meshage_node_free(late);
    meshage_node_free(a);
}

/* Options that were not changed, and NULL, are the defaults. */
static void defaults(meshage_node *a, meshage_node *b)
{
    const char *to = "b";
    meshage_send_options *options = meshage_send_options_create();
    meshage_message *message = meshage_message_create("x", 1);
    const meshage_send_options *both[2] = {NULL, NULL};
    struct sent sent = {COUNT_INIT, MESHAGE_ERR_STATE};
    meshage_report *report = NULL;
    int i;
    both[1] = options;
    OK(meshage_message_add_recipient(message, "b"));
    for (i = 0; i < 2; i++) {
        OK(meshage_set_with(a, &to, 1, "x", 1, both[i], &report));
        CHECK(meshage_report_delivered(report) == 1);
        meshage_report_free(report);
        OK(meshage_broadcast_with(a, "x", 1, both[i], &report));
        CHECK(meshage_report_delivered(report) == 2);
        meshage_report_free(report);
        OK(meshage_send_with(a, message, both[i], NULL));
        OK(meshage_send_async_with(a, message, both[i], end, &sent, NULL));
        count_reaches(&sent.ended, i + 1);
        OK(sent.status);
    }
    for (i = 0; i < 8; i++)
        meshage_message_free(receive(b));
    meshage_message_free(message);
    meshage_send_options_free(options);
}

/* With a timeout of 0 the message is sent, and its outcome is never OK. */
static void at_once(meshage_node *a, meshage_node *c)
{
    const char *to = "c", *several[2] = {"c", "nobody"};
    char text[16];
    meshage_report *report = NULL;
    meshage_message *message;
    meshage_send_options *options = meshage_send_options_create();
    int i;
    OK(meshage_send_options_timeout(options, 0));
    for (i = 0; i < MESSAGES; i++) {
        size_t len = (size_t)snprintf(text, sizeof text, "%d", i);
        if (i % 2 == 0) {
            STATUS(MESHAGE_ERR_TIMEOUT, meshage_set(a, &to, 1, text, len, 0, NULL));
        } else {
            STATUS(MESHAGE_ERR_TIMEOUT, meshage_set_with(a, &to, 1, text, len, options, NULL));
        }
    }
    for (i = 0; i < MESSAGES; i++) {
        snprintf(text, sizeof text, "%d", i);
        message = receive(c);
        CHECK(body_is(message, text));
        meshage_message_free(message);
    }
    STATUS(MESHAGE_ERR_PARTIAL, meshage_set(a, several, 2, "x", 1, 0, &report));
    STATUS(MESHAGE_ERR_TIMEOUT, meshage_report_status(report, 0));
    STATUS(MESHAGE_ERR_NO_ROUTE, meshage_report_status(report, 1));
    meshage_report_free(report);
    message = receive(c);
    CHECK(body_is(message, "x"));
    meshage_message_free(message);
    /* A retry may still find a route: not known at once. */
    OK(meshage_send_options_retry(options, true));
    STATUS(MESHAGE_ERR_TIMEOUT, meshage_set_with(a, &several[1], 1, "x", 1, options, NULL));
    meshage_send_options_free(options);
}

int main(void)
{
    meshage_node *a = start("a"), *b = start("b"), *c = start("c");
    retrying();
    retrying_with_a_callback();
    join(a, b);
    join(b, c);
    wait_for(a, "c");
    wait_for(c, "a");
    defaults(a, b);
    for (int i = 0; i < 2; i++)
        meshage_message_free(receive(c));
    at_once(a, c);
    meshage_node_free(a);
    meshage_node_free(b);
    meshage_node_free(c);
    return 0;
}
