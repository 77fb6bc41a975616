/* SPDX-License-Identifier: ISC */
/*
 * log.h: bangerd.log, one JSON object a line: {"time","level","source","message", fields...}.
 * Levels: error, warn, info, debug. A function logs or returns an error, not both.
 */
#ifndef BG_COMMON_LOG_H
#define BG_COMMON_LOG_H

#include "common/base.h"
#include "common/err.h"

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG, LOG_LEVEL_MAX_ };

const char *log_level_str(enum log_level level);
/* -EINVAL for a word that is not a level. */
int log_level_parse(const char *word, enum log_level *ret);

/* Until log_open, lines go to stderr. The fd is taken. */
void log_open(int fd, enum log_level level);
/*
 * Lines go into a pipe that never makes its writer wait (O_NONBLOCK) to the process that writes the file at path (copied); the level stays.
 * What it has no room for is counted, and a line says how many. What it has taken outlives this process. When nobody is left who could
 * read it, lines go to the file by themselves. The fd is taken on success; -ENOMEM.
 */
int log_open_pipe(int fd, const char *path);
/* Where lines go: for a child that closes all that it does not need. */
int log_descriptor(void);
void log_set_level(enum log_level level);
/*
 * A log that has more than max bytes becomes PATH.1, and fd goes on in a new file at path; so it does when path is not its file
 * any more, because another process of the same log did that, or a user removed it. May wait for the disk. 0 or -errno.
 */
int log_bound_fd(int fd, const char *path, uint64_t max);
bool log_wanted(enum log_level level);

/*
 * fields: pairs of name, string value, ended by NULL; names are literals.
 * log_msg(LOG_INFO, "vm", "started", "vm", name, NULL)
 */
void log_msg(enum log_level level, const char *source, const char *message, ...)
	__attribute__((sentinel));
/* The error's code, message and hint as fields. */
void log_err(
	enum log_level level, const char *source, const char *message, const struct bg_err *err);

#endif
