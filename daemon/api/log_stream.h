/* SPDX-License-Identifier: ISC */
/* log_stream.h: a log file as a reply, whole, its last lines, or followed as it grows. */
#ifndef BG_DAEMON_API_LOG_STREAM_H
#define BG_DAEMON_API_LOG_STREAM_H

#include "daemon/http/http.h"
#include "daemon/loop/loop.h"

struct log_part {
	const char *path;
	uint64_t from; /* bytes at its beginning that are left out; a shorter file is sent whole */
};

struct log_ask {
	bool follow;  /* goes on as the file grows */
	int64_t tail; /* the last so many lines; 0: all */
	const char *
		match; /* of these the lines that have it in them, in letters of either case; NULL: all */
};

/* Ends the call. A missing file is empty. */
void log_stream_reply(struct loop *loop, struct http_call *call, const struct log_part *part,
	const struct log_ask *ask);

#endif
