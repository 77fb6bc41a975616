/* SPDX-License-Identifier: ISC */
/*
 * log_writer.h: the process "bangerd: log" writes bangerd.log and worker.log, which alone bounds them, so that neither the engine's loop nor the
 * monitor, which watches it, waits for a disk over a line. Both write into a pipe that never makes them wait (log_open_pipe); workers
 * into another one, which does. What is in a pipe is written though its writer crashed or was killed: this process ends when the last of them has.
 * Made by the monitor, which keeps the pipes: a writer that dies loses at most what it had in its hands, and another goes on.
 */
#ifndef BG_DAEMON_LOG_WRITER_H
#define BG_DAEMON_LOG_WRITER_H

#include "common/paths.h"
#include "daemon/loop/loop.h"

struct log_writer;

enum log_pipe { LOG_PIPE_DAEMON, LOG_PIPE_WORKERS, LOG_PIPE_MAX_ };

/* Starts it, and sends this process's own lines there. paths is borrowed. 0 or -errno. */
int log_writer_new(struct loop *loop, const struct bg_paths *paths, struct log_writer **ret);
/* The end that is written to; borrowed. */
int log_writer_pipe(const struct log_writer *writer, enum log_pipe which);
/* Waits, bounded, until all is written. What this process says from now on goes to stderr. */
void log_writer_free(struct log_writer *writer);

#endif
