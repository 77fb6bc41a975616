/* SPDX-License-Identifier: ISC */
/*
 * monitor_proto.h: datagrams on the SEQPACKET socketpair between the monitor and its engine. Both
 * are one executable, so there is no version; lengths and fd counts are exact all the same, because
 * the engine is the part that may have been taken over.
 *
 *   engine -> monitor   READY                  it serves
 *                       ALIVE                  its loop runs; every MONITOR_BEAT_S once it serves
 *                       FAILED status, payload it cannot start: the HTTP answer for those who wait
 *                       BOOTSTRAP id, payload  runs mmdebstrap: fds {tar output, log}; payload is NUL-ended
 *                                              strings: suite, mirror (may be empty), "full" or
 *                                              "minimal", packages...
 *                       CANCEL id              ends it; EXITED comes all the same
 *                       WANT_HELPER id         starts a helper (enum monitor_helper) in the place of the last
 *   monitor -> engine   EXITED id, status      as from waitpid(2); always one per BOOTSTRAP
 *                       HELPER id, status      0 and fd {its socket}, or an error number and none
 *                       LISTEN                 fd {another listening socket}: the file of the last is gone
 *                       STOP id                ends it (enum monitor_stop)
 *
 * The monitor ends the engine for a message that is malformed.
 */
#ifndef BG_DAEMON_MONITOR_PROTO_H
#define BG_DAEMON_MONITOR_PROTO_H

#include <sys/types.h>

#include "common/base.h"

enum monitor_verb {
	MONITOR_READY = 1,
	MONITOR_BOOTSTRAP,
	MONITOR_CANCEL,
	MONITOR_EXITED,
	MONITOR_WANT_HELPER,
	MONITOR_HELPER,
	MONITOR_ALIVE,
	MONITOR_FAILED,
	MONITOR_LISTEN,
	MONITOR_STOP
};

/* The id of a WANT_HELPER and its HELPER. */
enum monitor_helper { MONITOR_HELPER_NET, MONITOR_HELPER_DISK, MONITOR_HELPER_MAX_ };

/* The id of a STOP: VMs keep running, or end first because the session or the machine does. */
enum monitor_stop { MONITOR_STOP_DAEMON, MONITOR_STOP_SESSION, MONITOR_STOP_MAX_ };

#define MONITOR_BEAT_S 5

/* What every image has: enough to work in it, or to boot and be reached. */
#define BOOTSTRAP_FULL	  "full"
#define BOOTSTRAP_MINIMAL "minimal"

#define MONITOR_PAYLOAD_MAX  (32 * 1024)
#define MONITOR_FDS_MAX	     2
#define MONITOR_PACKAGES_MAX 1024
/* at once; an engine asks for BG_BUILDS_MAX, and one that was abandoned may still end */
#define MONITOR_BOOTSTRAPS_MAX 4

struct monitor_msg {
	uint32_t verb;
	uint32_t id;
	int32_t status;
	uint32_t length; /* of the payload */
};

struct monitor_packet {
	struct monitor_msg msg;
	char payload[MONITOR_PAYLOAD_MAX];
	int fds[MONITOR_FDS_MAX]; /* close-on-exec; -1 beyond n_fds; the receiver's */
	unsigned n_fds;
};

/* 0; -EAGAIN; -EPIPE at the other's end; -EBADMSG (nothing is left open then). Never blocks. */
int monitor_send(int sock, const struct monitor_msg *msg, const char *payload, const int *fds,
	unsigned n_fds);
int monitor_recv(int sock, struct monitor_packet *ret);
void monitor_packet_done(struct monitor_packet *packet);

/* What a bootstrap may be asked for; pointers into the payload. */
struct bootstrap_args {
	const char *suite;
	const char *mirror; /* empty: the tool's own choice */
	const char *kind;   /* one of the two */
	const char *packages[MONITOR_PACKAGES_MAX];
	unsigned n_packages;
};

/* -EINVAL for anything but a plain suite, URL and package names. */
int bootstrap_args_parse(const char *payload, size_t len, struct bootstrap_args *ret);
bool bootstrap_suite_valid(const char *suite);
bool bootstrap_mirror_valid(const char *mirror);
bool bootstrap_package_valid(const char *package);

#endif
