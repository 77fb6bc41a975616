/* SPDX-License-Identifier: ISC */
/* keys.c: known_hosts is written anew, whole, a moment after the last change. */
#include "daemon/vm/keys.h"

#include <fcntl.h>
#include <stdio.h>

#include "common/fd.h"
#include "common/log.h"
#include "daemon/loop/loop.h"
#include "daemon/vm/vm.h"

enum { PUBLIC_KEY_MAX = 64 * 1024, COALESCE_USEC = 200000, AGAIN_USEC = 5000000 };

struct keys {
	char *private_path;
	char *known_hosts_path;
	char *authorized;
	struct loop *loop;
	const struct vms *vms;
	struct loop_source *due; /* known_hosts is to be written */
	bool failed;		 /* the last try, which was told */
};

void keys_free(struct keys *keys)
{
	if (!keys)
		return;
	loop_source_free(keys->due);
	free(keys->private_path);
	free(keys->known_hosts_path);
	free(keys->authorized);
	free(keys);
}

static int load_public(struct keys *keys, bool own, struct bg_err **err)
{
	_free_ char *path = NULL;
	int r;

	if (asprintf(&path, "%s.pub", keys->private_path) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (own && access(keys->private_path, F_OK) < 0) {
		r = keys_make(keys->private_path, path, err);
		if (r < 0)
			return r;
	}
	r = bg_read_file_at(AT_FDCWD, path, PUBLIC_KEY_MAX, &keys->authorized, NULL);
	if (r < 0) {
		bg_err_sys(err, BG_ERR_CONFIG, -r, "read the public ssh key %s", path);
		bg_err_hint(err, "`ssh-keygen -y -f %s > %s` makes it", keys->private_path, path);
	}
	return r;
}

int keys_open(const char *ssh_dir, const char *key_path, struct keys **ret, struct bg_err **err)
{
	_unref_(keys) struct keys *keys = calloc(1, sizeof(*keys));
	int r;

	if (!keys)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (key_path)
		keys->private_path = strdup(key_path);
	else if (asprintf(&keys->private_path, "%s/id_ed25519", ssh_dir) < 0)
		keys->private_path = NULL;
	if (asprintf(&keys->known_hosts_path, "%s/known_hosts", ssh_dir) < 0)
		keys->known_hosts_path = NULL;
	if (!keys->private_path || !keys->known_hosts_path)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = load_public(keys, !key_path, err);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(keys);
	return 0;
}

const char *keys_private_path(const struct keys *keys)
{
	return keys->private_path;
}

const char *keys_known_hosts_path(const struct keys *keys)
{
	return keys->known_hosts_path;
}

const char *keys_authorized(const struct keys *keys)
{
	return keys->authorized;
}

static int write_known_hosts(const struct keys *keys)
{
	_free_ char *text = NULL;
	size_t len = 0;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return -ENOMEM;
	for (const struct vm *vm = vms_first(keys->vms); vm; vm = vm->next)
		if (vm->row->host_key_public)
			fprintf(f, "%s,%s.vm %s\n", vm->row->name, vm->row->name,
				vm->row->host_key_public);
	if (fclose(f) != 0)
		return -ENOMEM;
	/* Not flushed: it follows from the rows, and each start of the daemon writes it. */
	return bg_put_file_at(AT_FDCWD, keys->known_hosts_path, text, len, 0600);
}

static void write_later(struct keys *keys, uint64_t usec);

/* No VM's operation fails for it: the VM is there, and the file is tried again. */
static void write_now(struct keys *keys)
{
	int r;

	loop_source_free(TAKE_PTR(keys->due));
	r = write_known_hosts(keys);
	if (r < 0 && !keys->failed)
		log_msg(LOG_WARN, "keys",
			"known_hosts cannot be written: ssh will not know new VMs", "path",
			keys->known_hosts_path, "error", strerror(-r), NULL);
	keys->failed = r < 0;
	if (r < 0)
		write_later(keys, AGAIN_USEC);
}

static void on_due(void *userdata)
{
	write_now(userdata);
}

static void write_later(struct keys *keys, uint64_t usec)
{
	if (loop_add_timer(keys->loop, "known_hosts", usec, on_due, keys, &keys->due) < 0)
		log_msg(LOG_ERROR, "keys", "known_hosts is not written: out of memory", NULL);
}

void keys_bind(struct keys *keys, struct loop *loop, const struct vms *vms)
{
	keys->loop = loop;
	keys->vms = vms;
}

void keys_touch(struct keys *keys)
{
	if (!keys->due)
		write_later(keys, COALESCE_USEC);
}

void keys_settle(struct keys *keys)
{
	if (keys->due && !keys->failed)
		write_now(keys);
}
