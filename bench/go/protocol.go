package main

import (
	"bufio"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// warmUp is the length of the warm-up round: every path and every buffer is used before the first
// measured round.
const warmUp = 200 * time.Millisecond

// A job holds the arguments that the harness passes to this process: CASE ROLE [key=value …].
type job struct {
	name, role string
	options    map[string]string
}

func parseJob(arguments []string) job {
	if len(arguments) < 2 {
		fail("CASE serve|drive [to=ADDRESS] [key=value …]")
	}
	j := job{name: arguments[0], role: arguments[1], options: map[string]string{}}
	for _, word := range arguments[2:] {
		if key, value, ok := strings.Cut(word, "="); ok {
			j.options[key] = value
		}
	}
	return j
}

// number returns the value of an option, or the fallback if it is not given.
func (j job) number(key string, fallback int) int {
	text, ok := j.options[key]
	if !ok {
		return fallback
	}
	number, err := strconv.Atoi(text)
	check(err)
	return number
}

func fail(why ...any) {
	fmt.Fprintln(os.Stderr, why...)
	os.Exit(1)
}

func check(err error) {
	if err != nil {
		fail(err)
	}
}

// A round returns its times, or its rate and the number of messages.
type round func(time.Duration) (times []time.Duration, rate float64, count int)

// runRounds warms up, prints ready, and runs a round for each line "round MILLISECONDS" that it reads.
func runRounds(run round) {
	run(warmUp)
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		text, ok := strings.CutPrefix(lines.Text(), "round ")
		if !ok {
			fail("expected a round:", lines.Text())
		}
		milliseconds, err := strconv.ParseFloat(text, 64)
		check(err)
		times, rate, count := run(time.Duration(milliseconds * float64(time.Millisecond)))
		if times == nil {
			fmt.Printf("{\"median\":%.3f,\"count\":%d}\n", rate, count)
			continue
		}
		slices.Sort(times)
		at := func(part float64) float64 {
			return float64(times[int(float64(len(times)-1)*part)]) / float64(time.Microsecond)
		}
		fmt.Printf("{\"median\":%.3f,\"p99\":%.3f,\"p999\":%.3f,\"count\":%d}\n", at(0.5), at(0.99), at(0.999), len(times))
	}
	check(lines.Err())
}

func waitForEndOfInput() {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
	}
}
