/* SPDX-License-Identifier: ISC */
/*
 * guest.c: One session of the agent per script, with a bound on what a guest may print into our
 * memory.
 */
#include "cli/guest.h"

#include <signal.h>
#include <sys/resource.h>

#include "cli/child.h"
#include "cli/session.h"

enum { SAID_MAX = 64 * 1024 };

/* A guest that prints without end fills no more than this of our memory. */
static void limit_files(uint64_t max, struct rlimit *old, struct sigaction *old_action)
{
	struct sigaction ignore = {.sa_handler = SIG_IGN};
	struct rlimit limit;

	(void)getrlimit(RLIMIT_FSIZE, old);
	limit = *old;
	limit.rlim_cur = BG_MIN(max + 1, old->rlim_max);
	(void)sigaction(SIGXFSZ, &ignore, old_action);
	(void)setrlimit(RLIMIT_FSIZE, &limit);
}

static void take_words(int fd, char **said)
{
	size_t len = 0;

	if (child_output(fd, SAID_MAX, said, &len) < 0)
		*said = strdup("");
	for (; *said && len > 0 && (*said)[len - 1] == '\n'; len--)
		(*said)[len - 1] = '\0';
}

static int outcome(const struct guest *g, int status, struct bg_err **err)
{
	if (status != 128 + SIGINT && status != 128 + SIGTERM && status != 128 + SIGHUP)
		return status;
	return bg_err_set(
		err, BG_ERR_CANCELLED, ECANCELED, "what was done in %s was interrupted", g->name);
}

int guest_run(const struct guest *g, const struct guest_script *s, char **said, struct bg_err **err)
{
	const char *argv[GUEST_WORDS_MAX + 5] = {"/bin/sh", "-c", s->text, "sh"};
	size_t n = s->kind ? 0 : 4;
	_close_ int words = child_memory("guest-errors");
	struct session session = {.vm = g->name,
		.kind = s->kind,
		.argv = argv,
		.workdir = "/",
		.signals = true,
		.in = s->in,
		.out = s->out,
		.err = words};
	struct sigaction action;
	struct rlimit limit;
	int status = 0, r;

	if (words < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	for (size_t i = 0; s->words && s->words[i] && i < GUEST_WORDS_MAX; i++)
		argv[n++] = s->words[i];
	argv[n] = NULL;
	limit_files(s->out_max ? s->out_max : SAID_MAX, &limit, &action);
	r = session_run(g->cli, &session, &status, err);
	(void)setrlimit(RLIMIT_FSIZE, &limit);
	(void)sigaction(SIGXFSZ, &action, NULL);
	if (r < 0)
		return r;
	if (said)
		take_words(words, said);
	return outcome(g, status, err);
}
