/* Memory and text helpers of the shim. */

#ifndef MESHAGE_GO_SHIM_TEXT_H
#define MESHAGE_GO_SHIM_TEXT_H

#include "shim_types.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* realloc that aborts on failure, as a Go program does when it runs out of memory. */
static inline void *mg_realloc(void *old, size_t size)
{
    void *memory = realloc(old, size);
    if (memory == NULL) {
        fprintf(stderr, "meshage: out of memory\n");
        abort();
    }
    return memory;
}

static inline char *mg_strdup(const char *string)
{
    size_t size = strlen(string) + 1;
    return memcpy(mg_realloc(NULL, size), string, size);
}

static inline void mg_text_add(mg_text *text, const char *string)
{
    size_t size = strlen(string) + 1;
    if (text->len + size > text->capacity) {
        text->capacity = 2 * text->capacity + size + 64;
        text->data = mg_realloc(text->data, text->capacity);
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

#endif
