/* SPDX-License-Identifier: ISC */
/*
 * loop.c: Wraps libevent. The judge around each callback measures what it took of the clock, and
 * whether that was its own time, the disk's or another program's.
 */
#include "daemon/loop/loop.h"

#include <assert.h>
#include <event2/event.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/queue.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>

#include "common/log.h"

enum source_kind {
	SOURCE_TIMER,
	SOURCE_TICKER,
	SOURCE_DEFER,
	SOURCE_FD,
	SOURCE_EXIT,
	SOURCE_SIGNAL,
	SOURCE_SIGNAL_FROM
};

/* libevent's clock is coarse: its timers come some milliseconds early or late. */
enum { EARLY_PART = 100 };

TAILQ_HEAD(source_queue, loop_source);

struct loop_source {
	enum source_kind kind;
	const char *name;
	struct loop *loop;
	struct event *event;	    /* NULL for SOURCE_DEFER, which waits in a queue */
	struct source_queue *queue; /* NULL: in none */
	TAILQ_ENTRY(loop_source) link;
	union {
		loop_timer_fn timer;
		loop_fd_fn fd;
		loop_exit_fn exit;
		loop_signal_fn signal;
		loop_sender_fn sender;
	} fn;
	void *userdata;
	pid_t pid;
	int sigfd; /* of SOURCE_SIGNAL_FROM */
};

struct loop {
	struct event_base *base;
	/*
	 * Deferred calls run in the order of their loop_defer. libevent's own ways do not
	 * promise that (a heap of equal times) or starve the others (event_active).
	 */
	struct source_queue deferred, running;
	struct event *kick;
	int code;
	unsigned n_sources;
};

uint64_t loop_now_usec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t loop_until_multiple(uint64_t now_usec, uint64_t usec)
{
	uint64_t left = usec - now_usec % usec;

	return left < usec / EARLY_PART ? left + usec : left;
}

static struct timeval usec_to_tv(uint64_t usec)
{
	return (struct timeval){
		.tv_sec = (time_t)(usec / 1000000), .tv_usec = (suseconds_t)(usec % 1000000)};
}

#ifndef NDEBUG
/* Of a process that was asked to judge: one loop, one thread. */
static struct {
	uint64_t limit_usec; /* 0: callbacks are not judged */
	int schedstat, pressure;
	int stat; /* -1 where it does not say how long disks were waited for */
	unsigned over;
} judge;

static bool counts_delays(void)
{
	_close_ int fd = open("/proc/sys/kernel/task_delayacct", O_RDONLY | O_CLOEXEC);
	char c;

	return fd >= 0 && read(fd, &c, 1) == 1 && c == '1';
}

static void judge_begin(void)
{
	const char *ms = getenv(LOOP_LIMIT_ENV);

	if (judge.limit_usec || !ms || atoi(ms) <= 0)
		return;
	judge.limit_usec = (uint64_t)atoi(ms) * 1000;
	judge.schedstat = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	judge.pressure = open("/proc/pressure/io", O_RDONLY | O_CLOEXEC);
	judge.stat = counts_delays() ? open("/proc/thread-self/stat", O_RDONLY | O_CLOEXEC) : -1;
}

static void read_proc(int fd, char *text, size_t size)
{
	ssize_t n = pread(fd, text, size - 1, 0);

	text[BG_MAX(n, (ssize_t)0)] = '\0';
}

/* How long this thread was ready so far while others had the processors. */
static uint64_t ready_usec(void)
{
	unsigned long long ran, waited = 0;
	char text[128];

	read_proc(judge.schedstat, text, sizeof(text));
	return sscanf(text, "%llu %llu", &ran, &waited) == 2 ? waited / 1000 : 0;
}

/* How long anything on this machine waited for a disk so far. 0: a kernel that does not say. */
static uint64_t disk_usec(void)
{
	unsigned long long total = 0;
	char text[256];
	const char *at;

	read_proc(judge.pressure, text, sizeof(text));
	at = strstr(text, "total=");
	return at && sscanf(at, "total=%llu", &total) == 1 ? total : 0;
}

/* How long this thread waited for a disk so far: delayacct_blkio_ticks of proc_pid_stat(5), the
 * 40th word behind the name. */
static uint64_t own_usec(void)
{
	char text[1024], *at;

	if (judge.stat < 0)
		return 0;
	read_proc(judge.stat, text, sizeof(text));
	at = strrchr(text, ')');
	for (unsigned n = 0; at && n < 40; n++)
		at = strchr(at + 1, ' ');
	return at ? strtoull(at, NULL, 10) * (1000000 / (uint64_t)sysconf(_SC_CLK_TCK)) : 0;
}

static uint64_t cpu_usec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static struct loop_span now(void)
{
	struct loop_span span = {.began_usec = loop_now_usec()};

	if (judge.limit_usec) {
		span.ready_usec = ready_usec();
		span.disk_usec = disk_usec();
		span.own_usec = own_usec();
		span.cpu_usec = cpu_usec();
	}
	return span;
}

static uint64_t less(uint64_t a, uint64_t b)
{
	return a - BG_MIN(a, b);
}

/*
 * Small files are read and written in the loop, and a disk may be busy for others. How much of a
 * sleep that was, nobody knows: the machine's pressure has this thread's own waits in it, so that
 * what it forgives has an end.
 */
static uint64_t judged_sleep(
	const struct loop_span *began, const struct loop_span *end, uint64_t ran)
{
	uint64_t others = less(end->disk_usec, began->disk_usec);
	uint64_t slept = less(less(end->began_usec, began->began_usec),
		ran + less(end->ready_usec, began->ready_usec));

	slept = less(slept, BG_MIN(others, LOOP_FORGIVEN * judge.limit_usec));
	return BG_MAX(slept, less(end->own_usec, began->own_usec));
}

static void judge_callback(const char *name, const struct loop_span *began)
{
	struct loop_span end = now();
	uint64_t ran = less(end.cpu_usec, began->cpu_usec), slept = judged_sleep(began, &end, ran);
	char ran_text[32], slept_text[32];

	if (judge.limit_usec == 0 || ran + slept <= judge.limit_usec)
		return;
	judge.over++;
	snprintf(ran_text, sizeof(ran_text), "%llu", (unsigned long long)ran);
	snprintf(slept_text, sizeof(slept_text), "%llu", (unsigned long long)slept);
	log_msg(LOG_ERROR, "loop", "a callback was above the limit", "name", name, "ran_usec",
		ran_text, "slept_usec", slept_text, NULL);
}
#endif

const unsigned loop_bounds_usec[LOOP_BOUNDS] = {100, 1000, 5000, 10000, 50000, 250000, 1000000};
static struct loop_latency latency;

const struct loop_latency *loop_latency(void)
{
	return &latency;
}

static void count_latency(uint64_t usec)
{
	size_t i;

	latency.sum_usec += usec;
	for (i = 0; i < LOOP_BOUNDS && usec > loop_bounds_usec[i];)
		i++;
	if (i < LOOP_BOUNDS)
		latency.within[i]++;
	else
		latency.above++;
}

struct loop_span loop_span_begin(void)
{
#ifndef NDEBUG
	return now();
#else
	return (struct loop_span){.began_usec = loop_now_usec()};
#endif
}

void loop_span_end(const char *name, const struct loop_span *span)
{
	uint64_t took = loop_now_usec() - span->began_usec;
#ifndef NDEBUG
	char text[32];
#endif

	count_latency(took);
#ifndef NDEBUG
	if (took <= LOOP_SLOW_USEC)
		return;
	judge_callback(name, span);
	snprintf(text, sizeof(text), "%llu", (unsigned long long)took);
	log_msg(LOG_INFO, "loop", "slow callback", "name", name, "usec", text, NULL);
#else
	(void)name;
#endif
}

unsigned loop_over_limit(void)
{
#ifndef NDEBUG
	return judge.over;
#else
	return 0;
#endif
}

static void run_timer(struct loop_source *source)
{
	/* The callback may free the source. */
	const char *name = source->name;
	struct loop_span span = loop_span_begin();

	source->fn.timer(source->userdata);
	loop_span_end(name, &span);
}

static void kick(struct loop *loop)
{
	struct timeval now = {0};

	evtimer_add(loop->kick, &now);
}

/* Runs those queued before this turn; what they defer waits for the next. */
static void on_kick(evutil_socket_t fd, short what, void *userdata)
{
	struct loop *loop = userdata;
	struct loop_source *source;

	/* Freed meanwhile, each leaves the queue that it is really in. */
	TAILQ_FOREACH (source, &loop->deferred, link)
		source->queue = &loop->running;
	TAILQ_CONCAT(&loop->running, &loop->deferred, link);
	while ((source = TAILQ_FIRST(&loop->running))) {
		TAILQ_REMOVE(&loop->running, source, link);
		source->queue = NULL;
		run_timer(source);
	}
	if (!TAILQ_EMPTY(&loop->deferred))
		kick(loop);
}

int loop_new(struct loop **ret)
{
	_unref_(loop) struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return -ENOMEM;
	TAILQ_INIT(&loop->deferred);
	TAILQ_INIT(&loop->running);
#ifndef NDEBUG
	judge_begin();
#endif
	loop->base = event_base_new();
	if (!loop->base)
		return -ENOMEM;
	loop->kick = evtimer_new(loop->base, on_kick, loop);
	if (!loop->kick)
		return -ENOMEM;
	*ret = TAKE_PTR(loop);
	return 0;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	assert(loop->n_sources == 0);
	if (loop->kick)
		event_free(loop->kick);
	if (loop->base)
		event_base_free(loop->base);
	free(loop);
}

int loop_run(struct loop *loop)
{
	int r;

	loop->code = 0;
	r = event_base_loop(loop->base, EVLOOP_NO_EXIT_ON_EMPTY);
	return r < 0 ? -EIO : loop->code;
}

void loop_exit(struct loop *loop, int code)
{
	loop->code = code;
	event_base_loopbreak(loop->base);
}

struct event_base *loop_base(struct loop *loop)
{
	return loop->base;
}

static void on_timer(evutil_socket_t fd, short what, void *userdata)
{
	run_timer(userdata);
}

static void on_fd(evutil_socket_t fd, short what, void *userdata)
{
	struct loop_source *source = userdata;
	const char *name = source->name;
	struct loop_span span = loop_span_begin();

	source->fn.fd(fd, (what & EV_READ ? LOOP_READ : 0u) | (what & EV_WRITE ? LOOP_WRITE : 0u),
		source->userdata);
	loop_span_end(name, &span);
}

static void on_signal(evutil_socket_t signo, short what, void *userdata)
{
	struct loop_source *source = userdata;
	const char *name = source->name;
	struct loop_span span = loop_span_begin();

	source->fn.signal(signo, source->userdata);
	loop_span_end(name, &span);
}

/* As waitpid(2) codes it. */
static int status_of(const siginfo_t *si)
{
	if (si->si_code == CLD_EXITED)
		return (si->si_status & 0xff) << 8;
	return (si->si_status & 0x7f) | (si->si_code == CLD_DUMPED ? 0x80 : 0);
}

static void on_exit_event(evutil_socket_t fd, short what, void *userdata)
{
	struct loop_source *source = userdata;
	const char *name = source->name;
	struct loop_span span = loop_span_begin();
	siginfo_t si = {0};
	int status = -1;

	if (waitid(P_PIDFD, (id_t)fd, &si, WEXITED | WNOHANG) >= 0) {
		if (si.si_pid == 0)
			return; /* woken early: it still runs */
		status = status_of(&si);
	}
	event_del(source->event);
	source->fn.exit(source->pid, status, source->userdata);
	loop_span_end(name, &span);
}

static int source_new(struct loop *loop, enum source_kind kind, const char *name, void *userdata,
	struct loop_source **ret)
{
	struct loop_source *source = calloc(1, sizeof(*source));

	if (!source)
		return -ENOMEM;
	source->kind = kind;
	source->name = name;
	source->sigfd = -1;
	source->loop = loop;
	source->userdata = userdata;
	loop->n_sources++;
	*ret = source;
	return 0;
}

/* Takes *source: it is handed out or freed. */
static int source_arm(struct loop_source *source, evutil_socket_t fd, short what,
	event_callback_fn fn, const struct timeval *tv, struct loop_source **ret)
{
	_unref_(loop_source) struct loop_source *owned = source;

	owned->event = event_new(owned->loop->base, fd, what, fn, owned);
	if (!owned->event)
		return -ENOMEM;
	if (what != 0 || tv)
		if (event_add(owned->event, tv) < 0)
			return errno > 0 ? -errno : -EINVAL;
	*ret = TAKE_PTR(owned);
	return 0;
}

static int add_timer(struct loop *loop, enum source_kind kind, const char *name, uint64_t usec,
	loop_timer_fn fn, void *userdata, struct loop_source **ret)
{
	struct timeval tv = usec_to_tv(usec);
	struct loop_source *source;
	int r;

	r = source_new(loop, kind, name, userdata, &source);
	if (r < 0)
		return r;
	source->fn.timer = fn;
	return source_arm(source, -1, kind == SOURCE_TICKER ? EV_PERSIST : 0, on_timer, &tv, ret);
}

int loop_add_timer(struct loop *loop, const char *name, uint64_t usec, loop_timer_fn fn,
	void *userdata, struct loop_source **ret)
{
	return add_timer(loop, SOURCE_TIMER, name, usec, fn, userdata, ret);
}

int loop_add_ticker(struct loop *loop, const char *name, uint64_t usec, loop_timer_fn fn,
	void *userdata, struct loop_source **ret)
{
	return add_timer(loop, SOURCE_TICKER, name, usec, fn, userdata, ret);
}

int loop_defer(struct loop *loop, const char *name, loop_timer_fn fn, void *userdata,
	struct loop_source **ret)
{
	struct loop_source *source;
	int r;

	r = source_new(loop, SOURCE_DEFER, name, userdata, &source);
	if (r < 0)
		return r;
	source->fn.timer = fn;
	source->queue = &loop->deferred;
	if (TAILQ_EMPTY(&loop->deferred))
		kick(loop);
	TAILQ_INSERT_TAIL(&loop->deferred, source, link);
	*ret = source;
	return 0;
}

static short fd_events(unsigned events)
{
	return (short)(EV_PERSIST | (events & LOOP_READ ? EV_READ : 0) |
		       (events & LOOP_WRITE ? EV_WRITE : 0));
}

int loop_add_fd(struct loop *loop, const char *name, int fd, unsigned events, loop_fd_fn fn,
	void *userdata, struct loop_source **ret)
{
	struct loop_source *source;
	int r;

	r = source_new(loop, SOURCE_FD, name, userdata, &source);
	if (r < 0)
		return r;
	source->fn.fd = fn;
	if (events == 0) /* made, and watched when loop_source_set_events says so */
		return source_arm(source, fd, 0, on_fd, NULL, ret);
	return source_arm(source, fd, fd_events(events), on_fd, NULL, ret);
}

int loop_source_set_events(struct loop_source *source, unsigned events)
{
	evutil_socket_t fd = event_get_fd(source->event);

	assert(source->kind == SOURCE_FD);
	event_del(source->event);
	if (events == 0)
		return 0;
	if (event_assign(source->event, source->loop->base, fd, fd_events(events), on_fd, source) <
			0 ||
		event_add(source->event, NULL) < 0)
		return -EINVAL;
	return 0;
}

int loop_add_exit(struct loop *loop, const char *name, pid_t pid, int pidfd, loop_exit_fn fn,
	void *userdata, struct loop_source **ret)
{
	struct loop_source *source;
	int r;

	r = source_new(loop, SOURCE_EXIT, name, userdata, &source);
	if (r < 0)
		return r;
	source->fn.exit = fn;
	source->pid = pid;
	return source_arm(source, pidfd, EV_READ | EV_PERSIST, on_exit_event, NULL, ret);
}

int loop_add_signal(struct loop *loop, const char *name, int signo, loop_signal_fn fn,
	void *userdata, struct loop_source **ret)
{
	struct loop_source *source;
	int r;

	r = source_new(loop, SOURCE_SIGNAL, name, userdata, &source);
	if (r < 0)
		return r;
	source->fn.signal = fn;
	return source_arm(source, signo, EV_SIGNAL | EV_PERSIST, on_signal, NULL, ret);
}

static void on_signal_from(evutil_socket_t fd, short what, void *userdata)
{
	struct loop_source *source = userdata;
	const char *name = source->name;
	struct loop_span span = loop_span_begin();
	struct signalfd_siginfo si;

	if (read(fd, &si, sizeof(si)) != (ssize_t)sizeof(si))
		return;
	source->fn.sender((int)si.ssi_signo, (pid_t)si.ssi_pid, source->userdata);
	loop_span_end(name, &span);
}

int loop_add_signal_from(struct loop *loop, const char *name, int signo, loop_sender_fn fn,
	void *userdata, struct loop_source **ret)
{
	struct loop_source *source;
	sigset_t set;
	int r;

	sigemptyset(&set);
	sigaddset(&set, signo);
	r = source_new(loop, SOURCE_SIGNAL_FROM, name, userdata, &source);
	if (r < 0)
		return r;
	source->fn.sender = fn;
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 ||
		(source->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0) {
		r = -errno;
		loop_source_free(source);
		return r;
	}
	return source_arm(source, source->sigfd, EV_READ | EV_PERSIST, on_signal_from, NULL, ret);
}

void loop_source_free(struct loop_source *source)
{
	if (!source)
		return;
	if (source->queue)
		TAILQ_REMOVE(source->queue, source, link);
	if (source->event)
		event_free(source->event);
	bg_close(source->sigfd);
	source->loop->n_sources--;
	free(source);
}
