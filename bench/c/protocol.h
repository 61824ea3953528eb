/* The worker's end of the bench's protocol (bench/README.md): arguments, rounds, figures. */

#ifndef PROTOCOL_H
#define PROTOCOL_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The round before the first: every path and every buffer has been used before it is measured. */
#define WARM_UP_MS 200

/* What the harness wants of this process: CASE ROLE [key=value ...]. */
struct job {
    const char *name;
    const char *role;
    int count;
    char **words;
};

/* What a round measured: times in microseconds, or the rate of the round and no times. */
struct figures {
    double rate;
    size_t count;
    double *times;
};

static inline void fail(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static inline struct job job_of(int argc, char **argv)
{
    if (argc < 3)
        fail(argv[0], "CASE serve|drive [to=ADDRESS] [key=value ...]");
    return (struct job){argv[1], argv[2], argc - 3, argv + 3};
}

static inline int is(const char *one, const char *other)
{
    return strcmp(one, other) == 0;
}

/* The value of a key, or what it is where it is not given. */
static inline const char *word_of(const struct job *job, const char *key, const char *otherwise)
{
    size_t length = strlen(key);
    for (int i = 0; i < job->count; i++)
        if (strncmp(job->words[i], key, length) == 0 && job->words[i][length] == '=')
            return job->words[i] + length + 1;
    return otherwise;
}

static inline size_t number_of(const struct job *job, const char *key, size_t otherwise)
{
    const char *word = word_of(job, key, NULL);
    return word == NULL ? otherwise : strtoul(word, NULL, 10);
}

/* Microseconds of a clock that never goes back. */
static inline double now_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static inline void wait_for_end_of_input(void)
{
    while (getchar() != EOF) {
    }
}

static inline int by_size(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

static inline void print_figures(const struct figures *figures)
{
    if (figures->times == NULL) {
        printf("{\"median\":%.3f,\"count\":%zu}\n", figures->rate, figures->count);
        return;
    }
    if (figures->count == 0)
        fail("round", "not one round trip");
    double *times = figures->times, last = (double)(figures->count - 1);
    qsort(times, figures->count, sizeof *times, by_size);
    printf("{\"median\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"count\":%zu}\n",
           times[(size_t)(last * 0.5)], times[(size_t)(last * 0.99)],
           times[(size_t)(last * 0.999)], figures->count);
}

/* Warms up, says `ready`, and runs a round of so many milliseconds whenever it is told to. */
static inline void rounds(struct figures (*round)(void *context, double milliseconds),
                          void *context)
{
    struct figures figures = round(context, WARM_UP_MS);
    free(figures.times);
    printf("ready\n");
    fflush(stdout);
    char line[64];
    while (fgets(line, sizeof line, stdin) != NULL) {
        double milliseconds;
        if (sscanf(line, "round %lf", &milliseconds) != 1)
            fail("no round", line);
        figures = round(context, milliseconds);
        print_figures(&figures);
        fflush(stdout);
        free(figures.times);
    }
}

#endif
