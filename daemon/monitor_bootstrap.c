/* SPDX-License-Identifier: ISC */
/*
 * monitor_bootstrap.c: At most a few at once; each is a pidfd and the id that the engine gave it.
 */
#include "daemon/monitor_bootstrap.h"

#include <signal.h>
#include <sys/pidfd.h>
#include <sys/queue.h>

#include "common/limits.h"
#include "common/log.h"
#include "daemon/loop/spawn.h"

#define LONGEST_USEC ((BG_BUILD_TIMEOUT_S + 60) * UINT64_C(1000000))

struct one {
	struct bootstraps *all;
	uint32_t id;
	bool abandoned;
	int pidfd;
	struct loop_source *exit, *deadline;
	LIST_ENTRY(one) link;
};

struct bootstraps {
	struct loop *loop;
	bootstrap_exit_fn exited;
	void *userdata;
	unsigned n;
	LIST_HEAD(, one) list;
};

static void one_free(struct one *one)
{
	if (!one)
		return;
	loop_source_free(one->exit);
	loop_source_free(one->deadline);
	bg_close(one->pidfd);
	free(one);
}
BG_DEFINE_UNREF(one, struct one *, one_free)

static void one_remove(struct one *one)
{
	LIST_REMOVE(one, link);
	one->all->n--;
	one_free(one);
}

static void one_cancel(const struct one *one)
{
	(void)pidfd_send_signal(one->pidfd, SIGTERM, NULL, 0);
}

/* An engine that waits for it has given up before. */
static void on_late(void *userdata)
{
	log_msg(LOG_WARN, "monitor", "a bootstrap takes too long and is ended", NULL);
	one_cancel(userdata);
}

int bootstraps_new(
	struct loop *loop, bootstrap_exit_fn exited, void *userdata, struct bootstraps **ret)
{
	struct bootstraps *all = calloc(1, sizeof(*all));

	if (!all)
		return -ENOMEM;
	all->loop = loop;
	all->exited = exited;
	all->userdata = userdata;
	LIST_INIT(&all->list);
	*ret = all;
	return 0;
}

void bootstraps_free(struct bootstraps *all)
{
	struct one *one;

	if (!all)
		return;
	while ((one = LIST_FIRST(&all->list))) {
		one_cancel(one);
		one_remove(one);
	}
	free(all);
}

static void on_exit_(pid_t pid, int status, void *userdata)
{
	struct one *one = userdata;
	struct bootstraps *all = one->all;
	bool abandoned = one->abandoned;
	uint32_t id = one->id;

	one_remove(one);
	if (!abandoned)
		all->exited(id, status, all->userdata);
}

static int start(struct one *one, const struct bootstrap_args *args, const int *fds)
{
	const char *argv[MONITOR_PACKAGES_MAX + 6] = {
		"bangerd: bootstrap", "--bootstrap", args->suite, args->mirror, args->kind};
	struct spawn s = {"/proc/self/exe", argv, NULL, {-1, fds[0], fds[1]}, 3, true};
	_err_ struct bg_err *err = NULL;
	pid_t pid;
	int r;

	memcpy(argv + 5, args->packages, args->n_packages * sizeof(argv[0]));
	r = spawn_process(&s, &pid, &one->pidfd, &err);
	if (r < 0) {
		log_err(LOG_ERROR, "monitor", "cannot start a bootstrap", err);
		return r;
	}
	r = loop_add_exit(one->all->loop, "bootstrap", pid, one->pidfd, on_exit_, one, &one->exit);
	if (r >= 0)
		r = loop_add_timer(one->all->loop, "bootstrap deadline", LONGEST_USEC, on_late, one,
			&one->deadline);
	if (r < 0)
		one_cancel(one);
	return r;
}

static struct one *find(const struct bootstraps *all, uint32_t id)
{
	struct one *one;

	LIST_FOREACH (one, &all->list, link)
		if (one->id == id && !one->abandoned)
			return one;
	return NULL;
}

int bootstraps_start(struct bootstraps *all, const struct monitor_packet *packet)
{
	_unref_(one) struct one *one = NULL;
	struct bootstrap_args args;
	int r;

	r = bootstrap_args_parse(packet->payload, packet->msg.length, &args);
	if (r < 0)
		return r;
	if (find(all, packet->msg.id))
		return -EEXIST;
	if (all->n >= MONITOR_BOOTSTRAPS_MAX)
		return -EBUSY;
	one = calloc(1, sizeof(*one));
	if (!one)
		return -ENOMEM;
	one->all = all;
	one->id = packet->msg.id;
	one->pidfd = -1;
	r = start(one, &args, packet->fds);
	if (r < 0)
		return r;
	all->n++;
	LIST_INSERT_HEAD(&all->list, one, link);
	log_msg(LOG_INFO, "monitor", "bootstrap started", "suite", args.suite, NULL);
	TAKE_PTR(one);
	return 0;
}

void bootstraps_cancel(struct bootstraps *all, uint32_t id)
{
	const struct one *one = find(all, id);

	if (one)
		one_cancel(one);
}

void bootstraps_abandon(struct bootstraps *all)
{
	struct one *one;

	LIST_FOREACH (one, &all->list, link) {
		one->abandoned = true;
		one_cancel(one);
	}
}
