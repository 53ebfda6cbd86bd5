"""Cards about algorithms and concurrency."""

from __future__ import annotations

from simulator.corpus.card import Card, Table

_WORKER_POOL = Card(
    cue=r"worker pool|goroutine|data race|race (in|condition)|\brace\b.*\bgo\b",
    title="A worker pool without the race",
    gist="The race is the shared slice: several workers append to it at once. Let workers send "
    "results on a channel, and "
    "let one place collect them.",
    points=(
        (
            "Shared slice",
            "`results = append(results, r)` reads and writes the slice header; two workers lose each other's item.",
        ),
        (
            "Early read",
            "The slice is read before the last worker has finished, because nothing waits for them.",
        ),
        (
            "Late close",
            "Closing the channel from a worker panics as soon as another one still wants to send.",
        ),
    ),
    steps=(
        "Give every worker the jobs channel to read and the results channel to write, and nothing else.",
        "Count the workers with a `sync.WaitGroup`.",
        "Close `results` in a goroutine of its own, after `Wait` returns.",
        "Collect with `range results` in the caller; when the loop ends, everything is there.",
    ),
    code={
        "go": """
func Run(jobs []int, workers int, work func(int) int) []int {
	in := make(chan int)
	out := make(chan int)

	var wg sync.WaitGroup
	for w := 0; w < workers; w++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for job := range in {
				out <- work(job)
			}
		}()
	}

	go func() {
		for _, job := range jobs {
			in <- job
		}
		close(in) // the one sender closes
	}()
	go func() {
		wg.Wait()
		close(out) // only after the last worker is done
	}()

	results := make([]int, 0, len(jobs))
	for r := range out { // one goroutine appends: no race
		results = append(results, r)
	}
	return results
}
""",
        "python": """
import asyncio


async def run(jobs, workers, work):
    queue = asyncio.Queue()
    for job in jobs:
        queue.put_nowait(job)

    async def worker():
        done = []
        while not queue.empty():
            done.append(await work(queue.get_nowait()))
        return done

    parts = await asyncio.gather(*(worker() for _ in range(workers)))
    return [result for part in parts for result in part]
""",
    },
    brief={
        "go": """
results := make([]int, len(jobs)) // one slot per job: no two workers share one

var wg sync.WaitGroup
limit := make(chan struct{}, workers)
for i, job := range jobs {
	wg.Add(1)
	limit <- struct{}{}
	go func(i, job int) {
		defer func() { <-limit; wg.Done() }()
		results[i] = work(job)
	}(i, job)
}
wg.Wait() // and only then read results
""",
    },
    pitfalls=(
        "Results arrive in the order in which they finish. Send the index along if the order of the jobs matters.",
        "If the caller may leave early, pass a `context.Context` and select on `ctx.Done()`, or the "
        "workers stay blocked.",
    ),
    check="Run `go test -race ./...`; the detector names both lines of a race, and stays quiet after the change.",
    verdict="Whoever sends closes, whoever collects owns the slice.",
    link=("The Go race detector", "https://go.dev/doc/articles/race_detector"),
)

_RETRY = Card(
    cue=r"\bretr(y|ies|ying)\b|back-?off|webhook",
    title="Retries with backoff and jitter",
    gist="Retry only what may succeed later, wait longer each time, and add chance to the wait so "
    "that callers do not come "
    "back together.",
    points=(
        (
            "Idempotency",
            "A retry may repeat a request that did arrive. Send a key, so that the other side can tell.",
        ),
        ("Full jitter", "Sleep a random time between zero and the cap, not the cap itself."),
        ("A deadline", "Limit the whole effort in seconds, not only in attempts."),
        ("Their wish first", "If the answer carries `Retry-After`, it wins over your own arithmetic."),
    ),
    steps=(
        "Decide which failures are worth a retry: timeouts, 429 and most of 5xx.",
        "Double the cap from a small base, up to a ceiling.",
        "Draw the wait at random below the cap.",
        "Stop at the deadline and report the last error, unchanged.",
    ),
    code={
        "python": """
import random
import time


def call_with_retries(call, *, base_seconds=0.2, ceiling_seconds=10.0, deadline_seconds=60.0):
    give_up_at = time.monotonic() + deadline_seconds
    attempt = 0
    while True:
        try:
            return call()
        except TransientError as error:
            cap = min(ceiling_seconds, base_seconds * 2**attempt)
            wait = error.retry_after or random.uniform(0, cap)
            if time.monotonic() + wait > give_up_at:
                raise
            time.sleep(wait)
            attempt += 1
""",
        "typescript": """
export async function withRetries<T>(call: () => Promise<T>, attempts = 5, baseMs = 200): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      if (attempt + 1 >= attempts || !isTransient(error)) throw error;
      const cap = Math.min(10_000, baseMs * 2 ** attempt);
      await new Promise((done) => setTimeout(done, Math.random() * cap));
    }
  }
}
""",
        "go": """
func Retry(ctx context.Context, attempts int, base time.Duration, call func() error) error {
	var err error
	for i := 0; i < attempts; i++ {
		if err = call(); err == nil || !IsTransient(err) {
			return err
		}
		limit := base << i
		select {
		case <-time.After(time.Duration(rand.Int63n(int64(limit)))):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return err
}
""",
    },
    brief={
        "python": """
for attempt in range(5):
    try:
        return call()
    except TransientError:
        time.sleep(random.uniform(0, min(10, 0.2 * 2**attempt)))
return call()  # the last word is the error's, if it still fails
""",
    },
    table=Table(
        ("Failure", "Retry?", "Why"),
        (
            ("Connection refused", "yes", "it never arrived"),
            ("Timeout", "yes, with a key", "it may have arrived"),
            ("429", "yes, after `Retry-After`", "you were asked to wait"),
            ("500, 502, 503, 504", "yes, a few times", "often gone in a moment"),
            ("400, 401, 403, 404", "no", "the same request fails again"),
        ),
    ),
    pitfalls=(
        "Two layers that retry three times each make nine calls. Retry in one place.",
        "A queue of retries is load: when everything fails, stop trying for a while (a circuit breaker).",
    ),
    check="Make the other side fail twice and then succeed; count exactly three calls and look at the "
    "gaps between them.",
    verdict="Be patient, be irregular, and know when to stop.",
)

_BINARY_SEARCH = Card(
    cue=r"binary search|bisect",
    title="Binary search",
    gist="Keep a half-open interval that must contain the answer and halve it until nothing is left to halve.",
    points=(
        (
            "Invariant",
            "Everything left of `low` is smaller than the target; everything from `high` on is not.",
        ),
        (
            "Half-open",
            "With `low <= i < high` there is no plus one to get wrong, except the one that makes progress.",
        ),
        ("Result", "`low` ends at the first place where the target is, or would be."),
    ),
    steps=(
        "Start with the whole list: `low = 0`, `high = len(items)`.",
        "Look at the middle.",
        "Too small: the answer lies to the right, so `low = middle + 1`.",
        "Otherwise it lies here or to the left, so `high = middle`.",
        "Stop when `low == high`.",
    ),
    code={
        "python": """
def lower_bound(items, target):
    \"\"\"The first index whose item is not smaller than target.\"\"\"
    low, high = 0, len(items)
    while low < high:
        middle = (low + high) // 2
        if items[middle] < target:
            low = middle + 1
        else:
            high = middle
    return low
""",
        "rust": """
fn lower_bound<T: Ord>(items: &[T], target: &T) -> usize {
    let (mut low, mut high) = (0, items.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if items[middle] < *target {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}
""",
        "javascript": """
function lowerBound(items, target) {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (items[middle] < target) low = middle + 1;
    else high = middle;
  }
  return low;
}
""",
    },
    brief={"python": "from bisect import bisect_left\n\nposition = bisect_left(items, target)"},
    maths=(("Each step halves the interval, so the number of steps is at most", r"\lceil \log_2 (n + 1) \rceil"),),
    pitfalls=(
        "The list must be sorted by the very comparison you search with.",
        "In languages with fixed integers, `low + (high - low) / 2` cannot overflow; `(low + high) / 2` can.",
    ),
    check="Try an empty list, one item, a target before the first and after the last, and a list full of equal items.",
    verdict="Write the invariant down first; the code follows from it.",
)

_TOKEN_BUCKET = Card(
    cue=r"rate.?limit|token bucket|throttl",
    title="A token bucket",
    gist="Fill a bucket at a steady rate, take one token per request, refuse when it is empty. Bursts "
    "up to the bucket's "
    "size pass, the long-run rate holds.",
    points=(
        ("No timer", "Compute the refill from the time that passed; nothing needs to run in the background."),
        ("One atomic step", "Refill, compare and take belong together, or two callers spend the same token."),
        ("Say when", "A refusal that names the wait in seconds turns a crowd into a queue."),
    ),
    steps=(
        "Store two numbers: the tokens left and the time of the last refill.",
        "On each request add `elapsed * rate`, at most up to the capacity.",
        "If at least one token is there, take it and let the request pass.",
        "Otherwise answer 429 with `Retry-After`.",
    ),
    code={
        "python": """
import threading
import time


class TokenBucket:
    def __init__(self, rate_per_second, capacity):
        self._rate = rate_per_second
        self._capacity = capacity
        self._tokens = capacity
        self._refilled_at = time.monotonic()
        self._lock = threading.Lock()

    def take(self):
        \"\"\"0.0 if the request may pass, else the seconds to wait.\"\"\"
        with self._lock:
            now = time.monotonic()
            gained = (now - self._refilled_at) * self._rate
            self._tokens = min(self._capacity, self._tokens + gained)
            self._refilled_at = now
            if self._tokens >= 1:
                self._tokens -= 1
                return 0.0
            return (1 - self._tokens) / self._rate
""",
        "go": """
type Bucket struct {
	mu       sync.Mutex
	rate     float64 // tokens per second
	capacity float64
	tokens   float64
	last     time.Time
}

func (b *Bucket) Take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.tokens = min(b.capacity, b.tokens+now.Sub(b.last).Seconds()*b.rate)
	b.last = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}
""",
    },
    table=Table(
        ("Method", "Bursts", "State", "Weakness"),
        (
            ("Token bucket", "up to capacity", "2 numbers", "none worth naming"),
            ("Fixed window", "twice the limit at the edge", "1 counter", "unfair at the edge"),
            ("Sliding log", "exact", "1 entry per request", "memory"),
            ("Leaky bucket", "none", "a queue", "adds waiting time"),
        ),
    ),
    maths=(("Within any interval of length $t$ the number of admitted requests is at most", r"C + r \cdot t"),),
    pitfalls=("Use a monotonic clock: a wall clock that jumps back hands out nothing for an hour.",),
    check="Fire twice the capacity at once: exactly the capacity passes. Wait one second: exactly the rate passes.",
    verdict="Two numbers and one lock carry it a long way.",
)

CARDS = (_WORKER_POOL, _RETRY, _BINARY_SEARCH, _TOKEN_BUCKET)
