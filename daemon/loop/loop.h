/* SPDX-License-Identifier: ISC */
/*
 * loop.h: the engine's one event loop (libevent underneath; only loop/ and http/
 * include its headers). Callbacks must end within about LOOP_SLOW_USEC; debug
 * builds (b_ndebug=false) log the name of those that do not. With LOOP_LIMIT_ENV in the environment, a number of
 * milliseconds, they also judge: a callback that took longer by itself is an error in the log, and counted.
 *
 * By itself: the time that the thread ran, and that it slept; not the time that it was ready and others had the processors. Of
 * its sleep some is forgiven on a machine whose disks made anybody wait meanwhile (/proc/pressure/io): LOOP_FORGIVEN times
 * the limit and no more, as that pressure is its own, too. Where the kernel says what this thread waited for
 * disks (sysctl kernel.task_delayacct), nothing of that is forgiven.
 *
 * Every source has one owner, who frees it; freeing is allowed inside its own callback,
 * and after it no callback comes. One-shot sources stay allocated until freed.
 */
#ifndef BG_DAEMON_LOOP_LOOP_H
#define BG_DAEMON_LOOP_LOOP_H

#include <sys/types.h>

#include "common/base.h"

#define LOOP_SLOW_USEC 10000
#define LOOP_LIMIT_ENV "BANGER_LOOP_LIMIT_MS"
#define LOOP_FORGIVEN  4

struct loop;
struct loop_source;
struct event_base;

enum { LOOP_READ = 1, LOOP_WRITE = 2 };

typedef void (*loop_timer_fn)(void *userdata);
typedef void (*loop_fd_fn)(int fd, unsigned events, void *userdata);
typedef void (*loop_signal_fn)(int signo, void *userdata);
/* sender: as signalfd(2) has it; 0 from outside of our pid namespace. */
typedef void (*loop_sender_fn)(int signo, pid_t sender, void *userdata);
/* status as from waitpid(2), or -1 when the process was not our child (adopted). */
typedef void (*loop_exit_fn)(pid_t pid, int status, void *userdata);

int loop_new(struct loop **ret);
void loop_free(struct loop *loop);
BG_DEFINE_UNREF(loop, struct loop *, loop_free)
/* Runs until loop_exit; returns the code given there. */
int loop_run(struct loop *loop);
void loop_exit(struct loop *loop, int code);
struct event_base *loop_base(struct loop *loop);

/* name: a string literal, for the slow-callback log. All return 0 or -errno. */
int loop_add_timer(struct loop *loop, const char *name, uint64_t usec, loop_timer_fn fn,
	void *userdata, struct loop_source **ret);
/* Again and again, every usec. */
int loop_add_ticker(struct loop *loop, const char *name, uint64_t usec, loop_timer_fn fn,
	void *userdata, struct loop_source **ret);
/* As soon as control is back in the loop. */
int loop_defer(struct loop *loop, const char *name, loop_timer_fn fn, void *userdata,
	struct loop_source **ret);
/* The fd stays the caller's. */
int loop_add_fd(struct loop *loop, const char *name, int fd, unsigned events, loop_fd_fn fn,
	void *userdata, struct loop_source **ret);
int loop_source_set_events(struct loop_source *source, unsigned events);
/* Watches pidfd (stays the caller's) and reaps a child. Called once. */
int loop_add_exit(struct loop *loop, const char *name, pid_t pid, int pidfd, loop_exit_fn fn,
	void *userdata, struct loop_source **ret);
int loop_add_signal(struct loop *loop, const char *name, int signo, loop_signal_fn fn,
	void *userdata, struct loop_source **ret);
/* The same for who must know who sent it. Blocks the signal for this process, and leaves it so. */
int loop_add_signal_from(struct loop *loop, const char *name, int signo, loop_sender_fn fn,
	void *userdata, struct loop_source **ret);
void loop_source_free(struct loop_source *source);
BG_DEFINE_UNREF(loop_source, struct loop_source *, loop_source_free)

/* Microseconds of CLOCK_MONOTONIC. */
uint64_t loop_now_usec(void);
/*
 * How long from now_usec until the clock is a multiple of usec: timers that are armed with it, each time anew, wake the process together.
 * Never 0; when the next multiple is nearly there (a timer that came early) the one after it is meant.
 */
uint64_t loop_until_multiple(uint64_t now_usec, uint64_t usec);
/* For callbacks that reach us by another way than a source (http): names the one that took long. */
struct loop_span {
	/* all but the first of a loop that is judged */
	uint64_t began_usec, ready_usec, disk_usec, own_usec, cpu_usec;
};
struct loop_span loop_span_begin(void);
void loop_span_end(const char *name, const struct loop_span *span);
/* How long callbacks took so far, of this process: the clock's time. */
#define LOOP_BOUNDS 7
struct loop_latency {
	/* how many took at most loop_bounds_usec of that place, and more than the one before */
	uint64_t within[LOOP_BOUNDS];
	uint64_t above, sum_usec;
};
extern const unsigned loop_bounds_usec[LOOP_BOUNDS];
const struct loop_latency *loop_latency(void);
/* How many were above the limit so far. */
unsigned loop_over_limit(void);

#endif
