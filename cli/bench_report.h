/* SPDX-License-Identifier: ISC */
/* bench_report.h: the samples of `banger bench`, and how they are shown: p50 and p95 by stage, as JSON or a table. */
#ifndef BG_CLI_BENCH_REPORT_H
#define BG_CLI_BENCH_REPORT_H

#include "cli/cli.h"

/* Times of one kind of run, in milliseconds, in the order in which they were taken. */
struct series {
	json_t *runs;	  /* list of {"total": ms, STAGE: ms...}, stages in order */
	uint64_t wall_ms; /* of all together; 0: not of interest */
};

int series_init(struct series *s);
void series_done(struct series *s);
/* Of an operation that is done: the sum of each stage. */
void series_add_op(struct series *s, const json_t *op);
void series_add(struct series *s, uint64_t total_ms);
/* p is in hundredths; of an empty series 0. Nearest rank. */
uint64_t series_percentile(const struct series *s, const char *stage, unsigned p);

struct bench_report {
	json_t *facts; /* what was measured, and where */
	struct series alone, together, bare;
	unsigned at_once;
	/* why the bare start failed; NULL: it was made, or not asked for */
	const struct bg_err *bare_error;
};

/* The record of --json, the caller's. */
json_t *bench_json(const struct bench_report *r);
void bench_print(const struct term *t, const struct bench_report *r);

#endif
