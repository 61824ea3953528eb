/* The input of fuzz.c: what it decides, and the checks that report it. */
#ifndef FUZZ_INPUT_H
#define FUZZ_INPUT_H

#include "check.h"
#include <limits.h>
#include <signal.h>

#define INPUT_BYTES_MAX 256
#define COUNT(array) (sizeof(array) / sizeof *(array))

static unsigned char input[INPUT_BYTES_MAX];
static size_t input_len, input_at;
static char input_hex[2 * INPUT_BYTES_MAX + 16];

/* Writes the input, also in a signal handler. */
static void tell_input(void)
{
    size_t len = strlen(input_hex);
    if (write(2, input_hex, len) != (ssize_t)len)
        _exit(1);
}

static void on_signal(int number)
{
    tell_input();
    signal(number, SIG_DFL);
    raise(number);
}

/* AddressSanitizer's, if the program was compiled with it. */
void __asan_set_death_callback(void (*callback)(void)) __attribute__((weak));

#define WRONG(...)                                                                                 \
    do {                                                                                           \
        fprintf(stderr, "line %d: ", __LINE__);                                                    \
        fprintf(stderr, __VA_ARGS__);                                                              \
        fprintf(stderr, " (last error: %s)\n", meshage_last_error());                              \
        tell_input();                                                                              \
        _exit(1);                                                                                  \
    } while (0)

/* Checks a status: one of the list, which ends with 1. NULL is returned only if there is one. */
static meshage_status check_status(int line, const char *call, int has_null, meshage_status got,
                                   const int *allowed)
{
    int listed = got == MESHAGE_OK ? !has_null : got == MESHAGE_ERR_NULL && has_null;
    for (; *allowed != 1; allowed++)
        listed |= (int)got == *allowed;
    if (!listed)
        WRONG("%s of line %d returned %d (%s)", call, line, (int)got, meshage_strerror(got));
    if ((got == MESHAGE_OK) != (meshage_last_error()[0] == '\0'))
        WRONG("%s of line %d left the last error %s", call, line, meshage_last_error());
    return got;
}

/* A call that may return OK or one of the listed statuses. */
#define MAY(has_null, call, ...)                                                                   \
    check_status(__LINE__, #call, has_null, call, (const int[]){__VA_ARGS__, 1})

static unsigned byte(void)
{
    return input_at < input_len ? input[input_at++] : 0;
}

static unsigned below(unsigned end)
{
    return byte() % end;
}

#define PICK(array) ((array)[below((unsigned)COUNT(array))])

static const char *text(void)
{
    static const char *const texts[] = {
        "a", "b", "c", "a", "b", "c", "z", "", "a/b", "\xff\xfe", NULL, "127.255.255.255", "::1",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "[::1]:9000", "::",
        "127.0.0.1", "127.0.0.1:99999", "%", "fe80::1", "nodes", "frames_relayed", "0123456789abcdef",
    };
    return PICK(texts);
}

/* A time that lets no call wait long. */
static int32_t timeout(void)
{
    static const int32_t times[] = {0, 1, 5, MESHAGE_DEFAULT, -3, INT_MIN, 20, 200};
    return PICK(times);
}

static uint64_t number(void)
{
    static const uint64_t numbers[] = {0, 1, 2, 3, 64, 65, 100, 256, 257, 1 << 20, UINT32_MAX, SIZE_MAX};
    return PICK(numbers);
}

/* Some bytes in an allocation of exactly their length, and now and then NULL. */
static unsigned char *bytes(size_t *len)
{
    static const size_t lengths[] = {0, 1, 7, 31, 32, 33, 64, 512, 70000};
    unsigned char *made;
    *len = PICK(lengths);
    if (below(16) == 0)
        return NULL;
    made = malloc(*len);
    memset(made, (int)byte(), *len);
    return made;
}

#endif
