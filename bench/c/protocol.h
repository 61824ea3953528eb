/* The worker's side of the bench protocol (bench/README.md): arguments, rounds, figures. */

#ifndef PROTOCOL_H
#define PROTOCOL_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* The warm-up round: every path and every buffer is used before the first measured round. */
#define WARM_UP_MS 200

/* The arguments that the harness passes to this process: CASE ROLE [key=value ...]. */
struct job {
    const char *name;
    const char *role;
    int option_count;
    char **options;
};

/* The measurements of a round: times in microseconds, or a rate and no times. */
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

static inline struct job parse_job(int argc, char **argv)
{
    if (argc < 3)
        fail(argv[0], "CASE serve|drive [to=ADDRESS] [key=value ...]");
    return (struct job){argv[1], argv[2], argc - 3, argv + 3};
}

static inline int equals(const char *one, const char *other)
{
    return strcmp(one, other) == 0;
}

/* The value of an option, or the fallback if it is not given. */
static inline const char *text_option(const struct job *job, const char *key, const char *fallback)
{
    size_t length = strlen(key);
    for (int i = 0; i < job->option_count; i++)
        if (strncmp(job->options[i], key, length) == 0 && job->options[i][length] == '=')
            return job->options[i] + length + 1;
    return fallback;
}

static inline size_t number_option(const struct job *job, const char *key, size_t fallback)
{
    const char *text = text_option(job, key, NULL);
    return text == NULL ? fallback : strtoul(text, NULL, 10);
}

/* Microseconds of the monotonic clock. */
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

static inline int compare(const void *one, const void *other)
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
        fail("round", "no round trip was completed");
    double *times = figures->times, last = (double)(figures->count - 1);
    qsort(times, figures->count, sizeof *times, compare);
    printf("{\"median\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"count\":%zu}\n",
           times[(size_t)(last * 0.5)], times[(size_t)(last * 0.99)],
           times[(size_t)(last * 0.999)], figures->count);
}

/* Warms up, prints `ready`, and runs a round for each line `round MILLISECONDS` that it reads. */
static inline void run_rounds(struct figures (*round)(void *context, double milliseconds),
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
            fail("expected a round", line);
        figures = round(context, milliseconds);
        print_figures(&figures);
        fflush(stdout);
        free(figures.times);
    }
}

#endif
