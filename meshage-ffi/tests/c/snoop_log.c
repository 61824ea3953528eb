/* The snoop callback of a relay, and the log callback. */
#include "check.h"

struct snooped {
    count messages, dropped;
    meshage_message *kept;
};

static void see(void *user_data, const meshage_message *message)
{
    struct snooped *snooped = user_data;
    CHECK(strcmp(meshage_message_source(message), "a") == 0);
    CHECK(strcmp(meshage_message_recipient(message, 0), "c") == 0);
    if (snooped->kept == NULL)
        snooped->kept = meshage_message_clone(message);
    count_up(&snooped->messages);
}

static void see_drop(void *user_data)
{
    count_up(&((struct snooped *)user_data)->dropped);
}

static void snoop(void)
{
    struct snooped snooped = {COUNT_INIT, COUNT_INIT, NULL};
    meshage_node *a = start("a"), *b = start("b"), *c = start("c");
    join(a, b);
    join(b, c);
    wait_for(a, "c");
    OK(meshage_on_snoop(b, see, &snooped, see_drop));
    OK(set_text(a, "c", "passes through"));
    OK(set_text(a, "b", "does not"));
    count_reaches(&snooped.messages, 1);
    OK(meshage_on_snoop(b, see, &snooped, see_drop));
    count_reaches(&snooped.dropped, 1);
    OK(set_text(a, "c", "too"));
    count_reaches(&snooped.messages, 2);
    OK(meshage_on_snoop(b, NULL, NULL, NULL));
    count_reaches(&snooped.dropped, 2);
    OK(set_text(a, "c", "unseen"));
    CHECK(count_now(&snooped.messages) == 2);
    CHECK(body_is(snooped.kept, "passes through"));
    meshage_node_free(a);
    meshage_node_free(b);
    meshage_node_free(c);
    CHECK(body_is(snooped.kept, "passes through"));
    meshage_message_free(snooped.kept);
}

struct log {
    count lines, dropped;
    int level_max;
};

static void line(void *user_data, int32_t level, const char *target, const char *text)
{
    struct log *log = user_data;
    CHECK(level >= 1 && level <= 5);
    CHECK(strlen(target) > 0 && text != NULL);
    if (level > log->level_max)
        log->level_max = level;
    count_up(&log->lines);
}

static void log_drop(void *user_data)
{
    count_up(&((struct log *)user_data)->dropped);
}

static void work(void)
{
    meshage_node *a = start("a"), *b = start("b");
    join(a, b);
    OK(set_text(a, "b", "x"));
    meshage_node_free(a);
    meshage_node_free(b);
}

static void logs(void)
{
    struct log first = {COUNT_INIT, COUNT_INIT, 0}, second = {COUNT_INIT, COUNT_INIT, 0};
    OK(meshage_on_log(3, line, &first, log_drop));
    work();
    count_reaches(&first.lines, 1);
    OK(meshage_on_log(5, line, &second, log_drop));
    count_reaches(&first.dropped, 1);
    CHECK(first.level_max <= 3);
    work();
    count_reaches(&second.lines, 1);
    OK(meshage_on_log(0, NULL, NULL, NULL));
    count_reaches(&second.dropped, 1);
    work();
    STATUS(MESHAGE_ERR_INVALID, meshage_on_log(9, line, &second, log_drop));
    CHECK(count_now(&second.dropped) == 2 && count_now(&first.dropped) == 1);
}

int main(void)
{
    snoop();
    logs();
    return 0;
}
