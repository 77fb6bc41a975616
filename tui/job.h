/* SPDX-License-Identifier: ISC */
/*
 * job.h: programs that the UI runs: one with the terminal (ssh, a pager), and some whose output is read (doctor, a diff, the
 * start of the daemon). They are reaped by the event loop, which goes on meanwhile. Those with the terminal are a process group
 * of their own with its foreground; the others get no terminal and end with the UI, but for the daemon's start.
 */
#ifndef BG_TUI_JOB_H
#define BG_TUI_JOB_H

#include <event2/event.h>
#include <sys/types.h>

#include "common/base.h"

enum job_kind { JOB_TERMINAL, JOB_CAPTURE, JOB_DOCTOR, JOB_DAEMON, JOB_MAX_ };

struct jobs;

struct job_user {
	/* What it printed, in pieces; stderr too, but for doctor. */
	void (*on_output)(void *u, enum job_kind kind, const char *data, size_t len);
	/* status: as a shell has it; 128 + n for a signal. All output has come. */
	void (*on_end)(void *u, enum job_kind kind, int status);
	/* The one with the terminal was stopped (^Z in it). */
	void (*on_stop)(void *u);
};

int jobs_new(struct event_base *base, int tty, const struct job_user *user, void *userdata,
	struct jobs **ret);
/* Ends what is not the daemon's start. */
void jobs_free(struct jobs *jobs);
/* argv[0] is a path or found by PATH. in: what it reads, -1 for nothing; taken. -EBUSY: one of this kind runs. */
int jobs_start(struct jobs *jobs, enum job_kind kind, const char *const *argv, int in);
bool jobs_running(const struct jobs *jobs, enum job_kind kind);
/* The one with the terminal goes on, or ends. */
void jobs_continue(struct jobs *jobs);
void jobs_end(struct jobs *jobs, enum job_kind kind);

#endif
