/* SPDX-License-Identifier: ISC */
/* daemon/loop: order, freeing inside callbacks, children, signals. */
#include "daemon/loop/loop.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/vfs.h>
#include <sys/wait.h>

#include "tests/lib/test.h"

struct fixture {
	struct loop *loop;
	struct loop_source *a, *b, *c, *d;
	char order[32];
	int n, status;
};

static struct fixture f;

static void setup(void)
{
	CHECK_INT(loop_new(&f.loop), 0);
}

static void run(int want)
{
	CHECK_INT(loop_run(f.loop), want);
	loop_source_free(f.a);
	loop_source_free(f.b);
	loop_source_free(f.c);
	loop_source_free(f.d);
	loop_free(f.loop);
}

static void note(char c)
{
	f.order[strlen(f.order)] = c;
}

static void fire_a(void *userdata)
{
	note('a');
}

static void fire_b(void *userdata)
{
	note('b');
	loop_exit(f.loop, 7);
}

TEST(timers_of_one_interval_fall_together)
{
	CHECK_INT(loop_until_multiple(0, 5000000), 5000000);
	CHECK_INT(loop_until_multiple(5000000, 5000000), 5000000);
	CHECK_INT(loop_until_multiple(6000001, 5000000), 3999999);
	CHECK_INT(loop_until_multiple(9000000, 5000000), 1000000);
	CHECK_INT(loop_until_multiple(9998000, 5000000), 5002000); /* it came early */
}

TEST(timers_fire_by_time)
{
	setup();
	CHECK_INT(loop_add_timer(f.loop, "b", 20000, fire_b, NULL, &f.b), 0);
	CHECK_INT(loop_add_timer(f.loop, "a", 1000, fire_a, NULL, &f.a), 0);
	run(7);
	CHECK_STR(f.order, "ab");
}

static void tick(void *userdata)
{
	if (++f.n == 3) {
		loop_source_free(TAKE_PTR(f.a));
		loop_exit(f.loop, 0);
	}
}

TEST(ticker_repeats_and_may_free_itself)
{
	setup();
	CHECK_INT(loop_add_ticker(f.loop, "tick", 1000, tick, NULL, &f.a), 0);
	run(0);
	CHECK_INT(f.n, 3);
}

static void third(void *userdata)
{
	note('3');
	loop_exit(f.loop, 0);
}

static void first(void *userdata)
{
	note('1');
	loop_source_free(TAKE_PTR(f.a));
	CHECK_INT(loop_defer(f.loop, "third", third, NULL, &f.a), 0);
	loop_source_free(TAKE_PTR(f.c)); /* queued behind us: must not come */
}

static void second(void *userdata)
{
	note('2');
}

static void never(void *userdata)
{
	note('!');
}

TEST(deferred_calls_keep_their_order)
{
	setup();
	CHECK_INT(loop_defer(f.loop, "first", first, NULL, &f.a), 0);
	CHECK_INT(loop_defer(f.loop, "second", second, NULL, &f.b), 0);
	CHECK_INT(loop_defer(f.loop, "never", never, NULL, &f.c), 0);
	run(0);
	CHECK_STR(f.order, "123");
}

static void fourth(void *userdata)
{
	note('4');
	loop_exit(f.loop, 0);
}

static void defers_fourth(void *userdata)
{
	note('3');
	CHECK_INT(loop_defer(f.loop, "fourth", fourth, NULL, &f.a), 0);
}

static void frees_and_defers(void *userdata)
{
	note('1');
	loop_source_free(TAKE_PTR(f.c)); /* the last one queued */
	CHECK_INT(loop_defer(f.loop, "third", defers_fourth, NULL, &f.c), 0);
}

/* Freeing the last of a turn must not break the queue of the next. */
TEST(deferred_calls_after_one_was_freed)
{
	setup();
	CHECK_INT(loop_defer(f.loop, "first", frees_and_defers, NULL, &f.d), 0);
	CHECK_INT(loop_defer(f.loop, "second", second, NULL, &f.b), 0);
	CHECK_INT(loop_defer(f.loop, "never", never, NULL, &f.c), 0);
	run(0);
	CHECK_STR(f.order, "1234");
}

static int fds[2];

static void readable(int fd, unsigned events, void *userdata)
{
	char c;

	CHECK_INT(events, LOOP_READ);
	CHECK_INT(read(fd, &c, 1), 1);
	note(c);
	if (c == 'y')
		loop_exit(f.loop, 0);
	else
		CHECK_INT(loop_source_set_events(f.a, 0), 0);
}

static void rearm(void *userdata)
{
	CHECK_STR(f.order, "x"); /* 'y' waits while we do not watch */
	CHECK_INT(loop_source_set_events(f.a, LOOP_READ), 0);
}

TEST(fd_can_be_paused)
{
	setup();
	CHECK_INT(pipe2(fds, O_CLOEXEC), 0);
	CHECK_INT(loop_add_fd(f.loop, "pipe", fds[0], LOOP_READ, readable, NULL, &f.a), 0);
	CHECK_INT(write(fds[1], "xy", 2), 2);
	CHECK_INT(loop_add_timer(f.loop, "rearm", 20000, rearm, NULL, &f.b), 0);
	run(0);
	CHECK_STR(f.order, "xy");
}

static void exited(pid_t pid, int status, void *userdata)
{
	CHECK_INT(pid, *(pid_t *)userdata);
	f.status = status;
	f.n++;
	loop_exit(f.loop, 0);
}

static void watch_child(pid_t pid, bool reap_first)
{
	int pidfd = pidfd_open(pid, 0);

	CHECK(pidfd >= 0);
	if (reap_first)
		CHECK_INT(waitpid(pid, NULL, 0), pid);
	setup();
	CHECK_INT(loop_add_exit(f.loop, "child", pid, pidfd, exited, &pid, &f.a), 0);
	run(0);
	bg_close(pidfd);
	CHECK_INT(f.n, 1);
}

TEST(child_exit_status_is_reaped)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(42);
	watch_child(pid, false);
	CHECK(WIFEXITED(f.status));
	CHECK_INT(WEXITSTATUS(f.status), 42);
	CHECK_INT(waitpid(pid, NULL, WNOHANG), -1); /* no zombie left */
}

TEST(child_killed_by_signal)
{
	pid_t pid = fork();

	if (pid == 0) {
		for (;;)
			pause();
	}
	kill(pid, SIGKILL);
	watch_child(pid, false);
	CHECK(WIFSIGNALED(f.status));
	CHECK_INT(WTERMSIG(f.status), SIGKILL);
}

TEST(process_that_is_not_ours_gives_minus_one)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	watch_child(pid, true);
	CHECK_INT(f.status, -1);
}

static void signalled(int signo, void *userdata)
{
	CHECK_INT(signo, SIGUSR1);
	loop_exit(f.loop, 3);
}

static void send_usr1(void *userdata)
{
	kill(getpid(), SIGUSR1);
}

TEST(signals_arrive_in_the_loop)
{
	setup();
	CHECK_INT(loop_add_signal(f.loop, "usr1", SIGUSR1, signalled, NULL, &f.a), 0);
	CHECK_INT(loop_defer(f.loop, "send", send_usr1, NULL, &f.b), 0);
	run(3);
}

/* ---- callbacks that take long ---- */

enum { LIMIT_MS = 50, BEYOND_FORGIVING_MS = LIMIT_MS * (LOOP_FORGIVEN + 2), DIRTY_MIB = 64 };

/* Above what a machine may forgive whose disks are busy. */
static void waits(void *userdata)
{
	(void)poll(NULL, 0, BEYOND_FORGIVING_MS);
	loop_exit(f.loop, 0);
}

/* How long this thread neither ran nor was ready to. */
static uint64_t slept_usec(void)
{
	unsigned long long ran, ready;
	FILE *file = fopen("/proc/thread-self/schedstat", "re");

	CHECK(file && fscanf(file, "%llu %llu", &ran, &ready) == 2);
	fclose(file);
	return loop_now_usec() - (ran + ready) / 1000;
}

/* All of the machine's waits for a disk may be its own: the kernel counts those of reads past its
 * cache. */
static void waits_for_a_disk(void *userdata)
{
	static _Alignas(4096) char block[1024 * 1024];
	uint64_t began = slept_usec();
	int direct = *(int *)userdata;
	off_t at = 0;

	CHECK_INT(fsync(direct), 0);
	do {
		CHECK_INT(pread(direct, block, sizeof(block), at), sizeof(block));
		at = (at + (off_t)sizeof(block)) % ((off_t)DIRTY_MIB * (off_t)sizeof(block));
	} while (slept_usec() - began < BEYOND_FORGIVING_MS * 1000);
	loop_exit(f.loop, 0);
}

static void works(void *userdata)
{
	uint64_t began = loop_now_usec();

	while (loop_now_usec() - began < 60000)
		;
	loop_exit(f.loop, 0);
}

static void stops(void *userdata)
{
	loop_exit(f.loop, 0);
}

static unsigned over_after(loop_timer_fn fn, void *userdata)
{
	f = (struct fixture){0};
	setup();
	CHECK_INT(loop_add_timer(f.loop, "one", 0, fn, userdata, &f.a), 0);
	run(0);
	return loop_over_limit();
}

/* As the suites ask for it; a loop that nobody asked to judge counts nothing. */
TEST(a_callback_that_waits_is_above_the_limit)
{
#ifdef NDEBUG
	test_skip("this build does not judge");
#endif
	CHECK_INT(over_after(waits, NULL), 0);
	setenv(LOOP_LIMIT_ENV, "50", 1);
	CHECK_INT(over_after(stops, NULL), 0);
	CHECK_INT(over_after(waits, NULL), 1);
	CHECK_INT(over_after(stops, NULL), 1);
}

/* A file that is only in memory so far, opened to be read past that; -1 where none can be. */
static int make_dirty(void)
{
	static char block[1024 * 1024];
	char path[512];
	_close_ int fd = -1;

	snprintf(path, sizeof(path), "%s/dirty", test_tmpdir());
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0);
	memset(block, 7, sizeof(block));
	for (unsigned i = 0; i < DIRTY_MIB; i++)
		CHECK_INT(write(fd, block, sizeof(block)), sizeof(block));
	return open(path, O_RDWR | O_DIRECT | O_CLOEXEC);
}

static bool is_in_memory(void)
{
	struct statfs fs;

	CHECK_INT(statfs(test_tmpdir(), &fs), 0);
	return fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC;
}

TEST(a_callback_that_waits_for_a_disk_is_above_the_limit)
{
	_close_ int direct = -1;

#ifdef NDEBUG
	test_skip("this build does not judge");
#endif
	direct = make_dirty();
	if (direct < 0 || is_in_memory())
		test_skip("the test's files are in memory: nothing to wait for");
	setenv(LOOP_LIMIT_ENV, "50", 1);
	CHECK_INT(over_after(waits_for_a_disk, &direct), 1);
}

/* One that works for 60 ms among four on each processor has waited for its turn most of the time,
 * and had little of it. */
TEST(time_without_a_processor_does_not_count)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);
	pid_t busy[256] = {0};
	unsigned n = 0;

#ifdef NDEBUG
	test_skip("this build does not judge");
#endif
	for (; n < 3 * cpus && n < ARRAY_SIZE(busy); n++) {
		busy[n] = fork();
		CHECK(busy[n] >= 0);
		while (busy[n] == 0)
			;
	}
	setenv(LOOP_LIMIT_ENV, "50", 1);
	n = over_after(works, NULL);
	for (unsigned i = 0; i < ARRAY_SIZE(busy) && busy[i] > 0; i++)
		CHECK_INT(kill(busy[i], SIGKILL), 0);
	CHECK_INT(n, 0);
}
