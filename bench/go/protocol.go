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

// warmUp is the round before the first: every path and every buffer has been used before it is
// measured.
const warmUp = 200 * time.Millisecond

// A job is what the harness wants of this process: CASE ROLE [key=value …].
type job struct {
	name, role string
	words      map[string]string
}

func jobOf(arguments []string) job {
	if len(arguments) < 2 {
		fail("CASE serve|drive [to=ADDRESS] [key=value …]")
	}
	j := job{name: arguments[0], role: arguments[1], words: map[string]string{}}
	for _, word := range arguments[2:] {
		if key, value, ok := strings.Cut(word, "="); ok {
			j.words[key] = value
		}
	}
	return j
}

// number is the value of a key, or what it is where it is not given.
func (j job) number(key string, otherwise int) int {
	word, ok := j.words[key]
	if !ok {
		return otherwise
	}
	number, err := strconv.Atoi(word)
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

// A round gives its times, or its rate and how many there were.
type round func(time.Duration) (times []time.Duration, rate float64, count int)

// rounds warms up, says ready, and runs a round whenever it is told to.
func rounds(run round) {
	run(warmUp)
	fmt.Println("ready")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		word, ok := strings.CutPrefix(lines.Text(), "round ")
		if !ok {
			fail("no round:", lines.Text())
		}
		milliseconds, err := strconv.ParseFloat(word, 64)
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
