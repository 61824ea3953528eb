/* Memory and text of the shim's own, and the way into its queue. */

#ifndef MESHAGE_GO_SHIM_TEXT_H
#define MESHAGE_GO_SHIM_TEXT_H

#include "shim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* realloc, for ever: without memory a Go program ends as well. */
static inline void *mg_memory(void *had, size_t size)
{
    void *memory = realloc(had, size);
    if (memory == NULL) {
        fprintf(stderr, "meshage: out of memory\n");
        abort();
    }
    return memory;
}

static inline char *mg_copy(const char *string)
{
    size_t size = strlen(string) + 1;
    return memcpy(mg_memory(NULL, size), string, size);
}

static inline void mg_text_add(mg_text *text, const char *string)
{
    size_t size = strlen(string) + 1;
    if (text->len + size > text->room) {
        text->room = 2 * text->room + size + 64;
        text->data = mg_memory(text->data, text->room);
    }
    memcpy(text->data + text->len, string, size);
    text->len += size;
}

static inline void mg_text_add_number(mg_text *text, int64_t number)
{
    char digits[24];
    snprintf(digits, sizeof digits, "%lld", (long long)number);
    mg_text_add(text, digits);
}

/* Puts an item into a queue and wakes who waits for it. */
void mg_queue_push(mg_queue *queue, mg_item item);

#endif
