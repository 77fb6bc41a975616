/* SPDX-License-Identifier: ISC */
/* log_stream.h: a log file as a reply, whole, its last lines, or followed as it grows. */
#ifndef LOG_STREAM_H
#define LOG_STREAM_H

#include "daemon/http/http.h"
#include "daemon/loop/loop.h"

/* follow: "1" or "true"; tail: a number of lines; each may be NULL. Ends the call. A missing file is empty. */
void log_stream_reply(struct loop *loop, struct http_call *call, const char *path, const char *follow,
	const char *tail);

#endif
