/* SPDX-License-Identifier: ISC */
/*
 * dialer.h: the process that dial.h speaks of: a child of the worker, sealed on its own (SANDBOX_DIAL): no file but what
 * naming reads, nothing that listens. It ends with the worker.
 */
#ifndef BG_WORKER_DIALER_H
#define BG_WORKER_DIALER_H

#include "common/json.h"

/*
 * Starts it for a job with these parameters, of which it takes what the user named: "after" (a catalog), "url" or "host";
 * and the proxies in the environment. Before libcurl and the seal. deadline_s: of the job.
 */
int dialer_start(const json_t *params, int deadline_s, struct bg_err **err);

#endif
