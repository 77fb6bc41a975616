/* SPDX-License-Identifier: ISC */
/* See boot_modules.h. cpio "newc": 110 bytes of hex header, name, data, both padded to 4. */
#include "worker/boot_modules.h"

#include <stdio.h>

#include "common/fd.h"
#include "common/guest_conf.h"
#include "common/limits.h"
#include "worker/buf.h"

/* In load order; what each needs goes before it. The ring is needed by all, the transports
 * must be there before the devices are looked for, failover pairs with the network driver. */
static const char *const wanted[] = {"virtio_ring", "virtio", "virtio_mmio", "virtio_pci",
	"virtio_blk", "virtio_console", "failover", "net_failover", "virtio_net", "virtio_rng",
	"virtio_balloon", "crc32c_generic", "ext4", "overlay", "vsock",
	"vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport"};

/* The same for a VM whose root is joined of two disks: listed apart, so that others do without. */
static const char *const wanted_dm[] = {"dm_mod", "dm_bufio", "dm_snapshot"};

struct cpio {
	int fd;
	unsigned ino;
};

static int pad(int fd, size_t len)
{
	return bg_write_all(fd, "\0\0\0", (4 - len % 4) % 4);
}

static int cpio_put(struct cpio *c, const char *name, unsigned mode, const void *data, size_t len)
{
	size_t name_len = strlen(name) + 1;
	char head[111];
	int r;

	snprintf(head, sizeof(head), "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
		mode ? ++c->ino : 0, mode, 0u, 0u, 1u, 0u, (unsigned)len, 0u, 0u, 0u, 0u,
		(unsigned)name_len, 0u);
	r = bg_write_all(c->fd, head, 110);
	if (r >= 0)
		r = bg_write_all(c->fd, name, name_len);
	if (r >= 0)
		r = pad(c->fd, 110 + name_len);
	if (r >= 0)
		r = bg_write_all(c->fd, data, len);
	return r < 0 ? r : pad(c->fd, len);
}

/* "kernel/x/virtio-rng.ko.xz" is "virtio-rng.ko" here: it is stored unpacked. */
static int file_name(const struct depmod_module *m, char *ret, size_t size)
{
	const char *base = strrchr(m->path, '/');
	int n;

	base = base ? base + 1 : m->path;
	n = snprintf(ret, size, "%.*s.ko", (int)strcspn(base, "."), base);
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

static int put_module(
	struct cpio *c, struct ext4 *e, const struct depmod_module *m, struct buf *order)
{
	char name[256], path[300];
	_free_ char *data = NULL;
	size_t len;
	int r = file_name(m, name, sizeof(name));

	if (r >= 0)
		r = ext4_read_file(e, m->node, BG_MODULE_MAX, &data, &len);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "%s/%s", &BG_GUEST_MODULE_DIR[1], name);
	buf_fmt(order, "%s\n", name);
	return cpio_put(c, path, 0100644, data, len);
}

/* list: the first n_boot are for every VM. */
static int put_all(struct cpio *c, struct ext4 *e, const struct depmod_list *list, size_t n_boot)
{
	_buf_ struct buf order = {}, order_dm = {};
	int r = cpio_put(c, &BG_GUEST_DIR[1], 040755, NULL, 0);

	if (r >= 0)
		r = cpio_put(c, &BG_GUEST_MODULE_DIR[1], 040755, NULL, 0);
	for (size_t i = 0; r >= 0 && i < list->n; i++)
		r = put_module(c, e, list->v[i], i < n_boot ? &order : &order_dm);
	if (r >= 0)
		r = buf_ok(&order);
	if (r >= 0)
		r = buf_ok(&order_dm);
	if (r >= 0)
		r = cpio_put(c, &BG_GUEST_MODULES[1], 0100644, order.p, order.len);
	if (r >= 0 && order_dm.len)
		r = cpio_put(c, &BG_GUEST_MODULES_DM[1], 0100644, order_dm.p, order_dm.len);
	return r < 0 ? r : cpio_put(c, "TRAILER!!!", 0, NULL, 0);
}

static bool has_module(const struct depmod_list *list, const char *name)
{
	for (size_t i = 0; i < list->n; i++)
		if (bg_streq(list->v[i]->name, name))
			return true;
	return false;
}

int boot_modules_write(
	struct depmod *d, struct ext4 *e, int fd, size_t *ret_count, bool *ret_snapshot)
{
	struct depmod_list list = {};
	struct cpio c = {.fd = fd};
	size_t n_boot;
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(wanted); i++)
		r = depmod_resolve(d, wanted[i], 1, &list);
	n_boot = list.n;
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(wanted_dm); i++)
		r = depmod_resolve(d, wanted_dm[i], 1, &list);
	if (r >= 0 && list.n)
		r = put_all(&c, e, &list, n_boot);
	*ret_count = list.n;
	*ret_snapshot = has_module(&list, "dm_snapshot");
	free(list.v);
	return r;
}
