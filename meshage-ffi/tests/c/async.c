/* Outstanding sends: each callback is called once, canceled or not, with and without a handle. */
#include "check.h"

#define SENDS 200

struct outcomes {
    count all, delivered, canceled;
};

static void ended(void *user_data, meshage_status status, meshage_report *report)
{
    struct outcomes *outcomes = user_data;
    if (status == MESHAGE_OK) {
        CHECK(meshage_report_count(report) == 1 && meshage_report_delivered(report) == 1);
        count_up(&outcomes->delivered);
    }
    if (status == MESHAGE_ERR_CANCELED || status == MESHAGE_ERR_TIMEOUT)
        count_up(&outcomes->canceled);
    meshage_report_free(report);
    count_up(&outcomes->all);
}

static void many(meshage_node *a, meshage_node *b)
{
    struct outcomes outcomes = {COUNT_INIT, COUNT_INIT, COUNT_INIT};
    meshage_message *message = meshage_message_create("x", 1);
    int i;
    OK(meshage_message_add_recipient(message, "b"));
    for (i = 0; i < SENDS; i++) {
        meshage_op *op = NULL;
        OK(meshage_send_async(a, message, SOON_MS, ended, &outcomes, i % 2 ? &op : NULL));
        CHECK((op != NULL) == (i % 2 == 1));
        meshage_op_free(op);
    }
    meshage_message_free(message);
    for (i = 0; i < SENDS; i++)
        meshage_message_free(receive(b));
    count_reaches(&outcomes.all, SENDS);
    CHECK(count_now(&outcomes.delivered) == SENDS);
}

/* The queue of `full` has room for one message: the next send waits and can be canceled. */
static void canceled(meshage_node *a, meshage_node *full)
{
    struct outcomes outcomes = {COUNT_INIT, COUNT_INIT, COUNT_INIT};
    meshage_message *message = meshage_message_create("x", 1), *none = NULL;
    meshage_op *op = NULL;
    OK(meshage_message_add_recipient(message, "full"));
    OK(meshage_send(a, message, SOON_MS, NULL));
    OK(meshage_send_async(a, message, MESHAGE_INFINITE, ended, &outcomes, &op));
    meshage_op_cancel(op);
    count_reaches(&outcomes.all, 1);
    CHECK(count_now(&outcomes.canceled) == 1);
    meshage_op_cancel(op);
    meshage_op_free(op);
    STATUS(MESHAGE_ERR_BUSY, meshage_send(a, message, 200, NULL));
    meshage_message_free(receive(full));
    OK(meshage_send(a, message, SOON_MS, NULL));
    meshage_message_free(receive(full));
    STATUS(MESHAGE_ERR_AGAIN, meshage_recv(full, 0, &none));
    meshage_message_free(message);
}

static void refused(meshage_node *a)
{
    struct outcomes outcomes = {COUNT_INIT, COUNT_INIT, COUNT_INIT};
    meshage_message *message = meshage_message_create("x", 1);
    meshage_op *op = (meshage_op *)&outcomes;
    OK(meshage_message_add_recipient(message, "a"));
    STATUS(MESHAGE_ERR_SELF, meshage_send_async(a, message, SOON_MS, ended, &outcomes, &op));
    CHECK(op == NULL);
    OK(meshage_message_add_recipient(message, "nobody"));
    OK(meshage_send_async(a, message, SOON_MS, ended, &outcomes, NULL));
    count_reaches(&outcomes.all, 1);
    meshage_message_free(message);
}

/* Sends that are outstanding when the node is freed are reported before meshage_node_free
 * returns. */
static void freed_while_outstanding(meshage_node *a)
{
    struct outcomes outcomes = {COUNT_INIT, COUNT_INIT, COUNT_INIT};
    meshage_message *message = meshage_message_create("x", 1);
    meshage_op *op = NULL;
    int i;
    OK(meshage_message_add_recipient(message, "full"));
    for (i = 0; i < 5; i++)
        OK(meshage_send_async(a, message, MESHAGE_INFINITE, ended, &outcomes, i == 0 ? &op : NULL));
    meshage_message_free(message);
    meshage_node_free(a);
    CHECK(count_now(&outcomes.all) == 5);
    meshage_op_cancel(op);
    meshage_op_free(op);
}

int main(void)
{
    meshage_node *a = start("a"), *b = start("b"), *full = start_on("full", 0, 1);
    join(a, b);
    join(a, full);
    many(a, b);
    canceled(a, full);
    refused(a);
    freed_while_outstanding(a);
    meshage_node_free(b);
    meshage_node_free(full);
    return 0;
}
