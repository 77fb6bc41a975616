/* SPDX-License-Identifier: ISC */
/*
 * receive.h: the end of a copy out of a guest: a banger-worker that is sealed to one folder of the user's and unpacks a
 * tar stream there (job "receive"). What is opened here is what the user named, never what a stream names.
 */
#ifndef BG_CLI_RECEIVE_H
#define BG_CLI_RECEIVE_H

#include <limits.h>
#include <sys/types.h>

#include "common/err.h"

struct receiving {
	pid_t pid;
	int socket;
	char name[NAME_MAX + 1]; /* what the tree becomes; "": its content comes into the folder */
	int folder;
};

/*
 * Where dst is: a folder that takes name, or the folder above with the last component of dst. A link to a folder is
 * not followed unless dst ends with '/': a copy that came before may have put it there. folder_only: dst must be one.
 */
int receive_open(const char *dst, const char *name, bool folder_only, struct receiving *ret,
	struct bg_err **err);
/* Starts it with the stream, which stays the caller's. */
int receive_start(struct receiving *r, int stream, struct bg_err **err);
/* Waits for its end; its error. *left_out: devices and pipes that were not made. */
int receive_end(struct receiving *r, unsigned *left_out, struct bg_err **err);
/* Also of one that was not started; one that runs is left to the end of its stream. */
void receive_done(struct receiving *r);

#endif
