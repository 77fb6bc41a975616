/* SPDX-License-Identifier: ISC */
/*
 * job_result.h: what a worker's result must have (common/job_table.def) before anybody in the engine sees it. A worker may
 * have been taken over by what it read, so its answer is checked as any peer's is. Pure: no state, no I/O.
 */
#ifndef BG_DAEMON_JOB_JOB_RESULT_H
#define BG_DAEMON_JOB_JOB_RESULT_H

#include <jansson.h>

#include "daemon/job/job.h"

/* -EPROTO: it does not fit; *ret_why (static) is the field. What is not in the table may be anything. */
int job_result_check(enum job_kind kind, const json_t *result, const char **ret_why);

#endif
