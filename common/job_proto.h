/* SPDX-License-Identifier: ISC */
/*
 * job_proto.h: the border between bangerd and banger-worker.
 *
 * One worker process per job. bangerd forks, execs banger-worker with a
 * SEQPACKET socket on fd BG_JOB_FD and nothing else open but /dev/null on 0 and
 * the worker log on 1 and 2, and sends one request datagram: a JSON object
 * {"job": NAME, ...parameters} with the job's file descriptors as SCM_RIGHTS in the
 * order that job_table.def gives. The worker answers with datagrams, each a JSON object:
 *
 *   {"progress": {"done": N, "total": N|null, "unit": "bytes"|"entries", "text": STRING|null}}  any number
 *   {"result": {...}}                              exactly one of these two, last
 *   {"error": {"code", "message", "hint"}}         as in the API (common/json.h: bg_err_to_json)
 *
 * Closing the socket cancels: the worker dies at the next poll or by its parent-death signal.
 * The worker never opens a path: everything comes in as a descriptor.
 */
#ifndef BG_COMMON_JOB_PROTO_H
#define BG_COMMON_JOB_PROTO_H

#define BG_JOB_FD 3

#endif
