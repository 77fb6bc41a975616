/* SPDX-License-Identifier: ISC */
/*
 * identity.h: who this guest is: names, resolver, machine id, ssh keys. Writes into the
 * image's root and the work disk, and only what differs from what is there.
 */
#ifndef BG_GUEST_IDENTITY_H
#define BG_GUEST_IDENTITY_H

#include "guest/conf.h"

/* The two files of the settings that are not vm.conf; NULL when not given. */
struct identity_keys {
	char *host_key;
	char *authorized;
};

/* Reads them from the initramfs, before it is gone. */
int identity_read_keys(struct identity_keys *ret, struct bg_err **err);
void identity_free_keys(struct identity_keys *keys);
/* The kernel's host name; no file. */
int identity_hostname(const struct conf *conf);
/*
 * In the image's root, with /root mounted. Does all it can; the first failure is
 * returned. A guest with a file less is better than none.
 */
int identity_write(const struct conf *conf, const struct identity_keys *keys, struct bg_err **err);

/*
 * Of a guest that runs: its host name and the two files that have it. address may be NULL.
 */
int identity_rename(const char *name, const char *address, struct bg_err **err);

#endif
