/* SPDX-License-Identifier: ISC */
/*
 * keys.h: the user's ssh key (made on first use, or the one that config's ssh_key_path names), and the
 * known_hosts file that lists every VM's host key, so that ssh neither asks nor trusts blindly.
 */
#ifndef BG_DAEMON_VM_KEYS_H
#define BG_DAEMON_VM_KEYS_H

#include "common/err.h"

struct keys;
struct loop;
struct vms;

/* ssh_dir: <config>/ssh; key_path: NULL for banger's own. */
int keys_open(const char *ssh_dir, const char *key_path, struct keys **ret, struct bg_err **err);
void keys_free(struct keys *keys);
BG_DEFINE_UNREF(keys, struct keys *, keys_free)

/* Of keys_open (keys_make.c): a new pair of files. */
int keys_make(const char *private_path, const char *public_path, struct bg_err **err);

const char *keys_private_path(const struct keys *keys);
const char *keys_known_hosts_path(const struct keys *keys);
/* Text for the guest's authorized_keys, ends with a newline. */
const char *keys_authorized(const struct keys *keys);
/* From now on known_hosts is that of these VMs, each known as NAME and NAME.vm. Both are borrowed until keys_free. */
void keys_bind(struct keys *keys, struct loop *loop, const struct vms *vms);
/* Some VM came, went or has another key: known_hosts is written anew, soon, once for all that come meanwhile. */
void keys_touch(struct keys *keys);
/* Writes it now if it is due: before a client is told of a VM that it may ssh to. */
void keys_settle(struct keys *keys);

#endif
