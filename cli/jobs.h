/* SPDX-License-Identifier: ISC */
/*
 * jobs.h: runs operations: as many at once as --parallel says, all followed
 * together until each has ended. Ctrl-C cancels what runs and waits until it is
 * undone, and begins no other; a second one leaves at once. Prints progress and errors; how success
 * is told is the command's.
 */
#ifndef BG_CLI_JOBS_H
#define BG_CLI_JOBS_H

#include "cli/client.h"

enum job_state {
	JOB_IDLE,      /* nothing is sent yet */
	JOB_ASKED,     /* the request is sent; http waits for the 202 */
	JOB_FOLLOWING, /* op is known; http streams its records */
	JOB_DONE,      /* op says done */
	JOB_FAILED     /* err says why; op may be known */
};

struct job {
	const char *name; /* of what it works on; borrowed */
	enum route route;
	json_t *body;	   /* of the request; NULL for none */
	const char *query; /* of the request; NULL for none */
	/* the request cancels the operation: that it is cancelled is what is wanted */
	bool cancels;
	bool keep_error; /* err is the caller's to show */
	const char *
		follows; /* the id of another's operation: nothing is asked for, Ctrl-C leaves it alone; or NULL */
	bool (*enough)(const json_t *op); /* true: done before the operation ends; or NULL */
	/* filled in by jobs_run */
	enum job_state state;
	struct bg_http *http;
	json_t *op;	   /* its newest record */
	uint64_t heard_ms; /* when something of the daemon came last */
	struct bg_err *err;
	struct bg_http
		*cancel; /* the cancel request, once it is sent; its answer is not waited for */
};

/* Prints one line on stdout for a job that is done. */
typedef void job_report(struct cli *cli, const struct job *job);

/*
 * Runs all; verb ("start") opens the error of a job when there are several. With --json the
 * records made or changed are printed at the end: one as it is, several as a list. Returns the
 * exit status: of the first that failed, 130 after Ctrl-C.
 */
int jobs_run(struct cli *cli, const char *verb, struct job *jobs, size_t count, job_report *report);
/* Releases what jobs_run and the caller put into the jobs (body, op, err), not the array. */
void jobs_done(struct job *jobs, size_t count);
/* The same request for each of these names; one may come twice. */
int jobs_run_names(struct cli *cli, const char *verb, char *const *names, size_t count,
	enum route route, job_report *report);
/* For one operation. Takes body. */
int job_run_one(struct cli *cli, const char *verb, const char *name, enum route route, json_t *body,
	job_report *report);

#endif
