/* SPDX-License-Identifier: ISC */
/*
 * publish.c: New ports are opened first; what is open already goes over to the new list, which
 * cannot fail.
 */
#include "daemon/vm/publish.h"

#include <arpa/inet.h>

#include "common/json.h"
#include "daemon/driver/relay.h"
#include "daemon/engine.h"

struct publish {
	struct entry {
		uint16_t host, guest;
		struct relay *relay;
	} entries[BG_PUBLISH_MAX];
	size_t count;
};

struct pair {
	uint16_t host, guest;
};

struct pairs {
	struct pair pair[BG_PUBLISH_MAX + 1];
	size_t count;
};

/* The row's own text: what does not read is not there. */
static void load(const char *text, struct pairs *ret)
{
	_json_ json_t *list = text ? json_loads(text, 0, NULL) : NULL;
	const json_t *item;
	size_t i;

	ret->count = 0;
	json_array_foreach (list, i, item) {
		int64_t host = 0, guest = 0;

		if (ret->count < BG_PUBLISH_MAX &&
			bg_json_get_int(item, "host", 1, UINT16_MAX, &host) >= 0 &&
			bg_json_get_int(item, "guest", 1, UINT16_MAX, &guest) >= 0)
			ret->pair[ret->count++] = (struct pair){(uint16_t)host, (uint16_t)guest};
	}
}

static int store(const struct pairs *pairs, char **ret, struct bg_err **err)
{
	_json_ json_t *list = json_array();

	*ret = NULL;
	if (pairs->count == 0)
		return 0;
	for (size_t i = 0; i < pairs->count; i++)
		json_array_append_new(list, json_pack("{s:i, s:i}", "host", pairs->pair[i].host,
						    "guest", pairs->pair[i].guest));
	*ret = json_dumps(list, JSON_COMPACT | JSON_SORT_KEYS);
	return *ret ? 0 : bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

static struct pair *find(struct pairs *pairs, uint16_t host)
{
	for (size_t i = 0; i < pairs->count; i++)
		if (pairs->pair[i].host == host)
			return &pairs->pair[i];
	return NULL;
}

static bool is_open(const struct vm *vm, uint16_t host)
{
	for (size_t i = 0; vm && vm->publish && i < vm->publish->count; i++)
		if (vm->publish->entries[i].host == host)
			return true;
	return false;
}

static int check_free(
	const struct vms *vms, const struct vm *self, uint16_t host, struct bg_err **err)
{
	for (const struct vm *vm = vms_first(vms); vm; vm = vm->next) {
		struct pairs pairs;
		int r;

		load(vm->row->publish, &pairs);
		if (vm == self || !find(&pairs, host))
			continue;
		r = bg_err_set(err, BG_ERR_PORT_TAKEN, EADDRINUSE,
			"port %u of this machine is published by VM \"%s\"", host, vm->row->name);
		bg_err_hint(err, "publish another, or `banger vm set %s --unpublish %u` first",
			vm->row->name, host);
		return r;
	}
	return is_open(self, host) ? 0 : relay_try(host, err);
}

static int remove_ports(struct pairs *pairs, const json_t *remove, struct bg_err **err)
{
	const json_t *item;
	size_t i;

	json_array_foreach (remove, i, item) {
		json_int_t host = json_is_integer(item) ? json_integer_value(item) : 0;
		struct pair *p =
			host > 0 && host <= UINT16_MAX ? find(pairs, (uint16_t)host) : NULL;

		if (!p)
			return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL,
				"port %lld of this machine is not published by this VM",
				(long long)host);
		*p = pairs->pair[--pairs->count];
	}
	return 0;
}

static int add_port(struct pairs *pairs, const struct pair *new, struct bg_err **err)
{
	struct pair *p = find(pairs, new->host);

	if (!p && pairs->count == BG_PUBLISH_MAX)
		return bg_err_set(err, BG_ERR_VM_LIMITS, E2BIG, "a VM publishes at most %d ports",
			BG_PUBLISH_MAX);
	if (!p)
		p = &pairs->pair[pairs->count++];
	*p = *new;
	return 0;
}

/* Whether one of the first n of the request has this port of the host as well. */
static bool asked_before(const json_t *add, size_t n, uint16_t host)
{
	for (size_t i = 0; i < n; i++)
		if (json_integer_value(json_object_get(json_array_get(add, i), "host")) == host)
			return true;
	return false;
}

static int add_ports(const struct vms *vms, const struct vm *self, struct pairs *pairs,
	const json_t *add, struct bg_err **err)
{
	const json_t *item;
	size_t i;

	json_array_foreach (add, i, item) {
		int64_t host = 0, guest = 0;
		struct pair new;
		int r = bg_json_need_int(
			item, "host", BG_ERR_BAD_REQUEST, 1, UINT16_MAX, &host, err);

		if (r >= 0)
			r = bg_json_need_int(
				item, "guest", BG_ERR_BAD_REQUEST, 1, UINT16_MAX, &guest, err);
		new = (struct pair){(uint16_t)host, (uint16_t)guest};
		if (r >= 0 && asked_before(add, i, new.host))
			return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL,
				"port %u of this machine is to be published twice", new.host);
		if (r >= 0)
			r = check_free(vms, self, new.host, err);
		if (r >= 0)
			r = add_port(pairs, &new, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int by_host(const void *a, const void *b)
{
	return (int)((const struct pair *)a)->host - (int)((const struct pair *)b)->host;
}

int publish_apply(const struct vms *vms, const struct vm *self, const char *old, const json_t *add,
	const json_t *remove, char **ret, struct bg_err **err)
{
	struct pairs pairs;
	int r;

	load(old, &pairs);
	r = remove_ports(&pairs, remove, err);
	if (r >= 0)
		r = add_ports(vms, self, &pairs, add, err);
	if (r < 0)
		return r;
	qsort(pairs.pair, pairs.count, sizeof(pairs.pair[0]), by_host);
	return store(&pairs, ret, err);
}

static void publish_free(struct publish *publish)
{
	if (!publish)
		return;
	for (size_t i = 0; i < publish->count; i++)
		relay_free(publish->entries[i].relay);
	free(publish);
}

static struct entry *entry_of(struct publish *publish, uint16_t host)
{
	for (size_t i = 0; publish && i < publish->count; i++)
		if (publish->entries[i].host == host)
			return &publish->entries[i];
	return NULL;
}

/* Those host ports that are not listened on yet; the others wait for move_old, which cannot fail.
 */
static int open_new(struct vm *vm, const struct pairs *pairs, struct sockaddr_in *target,
	struct publish *new, struct bg_err **err)
{
	for (size_t i = 0; i < pairs->count; i++) {
		const struct pair *p = &pairs->pair[i];
		struct entry *e = &new->entries[new->count++];
		int r;

		*e = (struct entry){.host = p->host, .guest = p->guest};
		if (entry_of(vm->publish, p->host))
			continue;
		target->sin_port = htons(p->guest);
		r = relay_open(vm->engine->loop, p->host, target, &e->relay, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Listeners go over as they are; what has another guest port leads there from now on. */
static void move_old(struct publish *old, struct publish *new, struct sockaddr_in *target)
{
	for (size_t i = 0; i < new->count; i++) {
		struct entry *to = &new->entries[i], *from = entry_of(old, to->host);

		if (!from)
			continue;
		to->relay = TAKE_PTR(from->relay);
		if (from->guest == to->guest)
			continue;
		target->sin_port = htons(to->guest);
		relay_lead_to(to->relay, target);
	}
}

int publish_open(struct vm *vm, const char *text, struct bg_err **err)
{
	struct sockaddr_in target = {.sin_family = AF_INET};
	struct publish *new = NULL;
	struct pairs pairs;
	int r;

	load(text, &pairs);
	if (pairs.count == 0) {
		publish_close(vm);
		return 0;
	}
	if (!vm->row->address || inet_pton(AF_INET, vm->row->address, &target.sin_addr) != 1)
		return bg_err_set(err, BG_ERR_INTERNAL, EADDRNOTAVAIL, "VM \"%s\" has no address",
			vm->row->name);
	new = calloc(1, sizeof(*new));
	if (!new)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	r = open_new(vm, &pairs, &target, new, err);
	if (r < 0) {
		publish_free(new);
		return r;
	}
	move_old(vm->publish, new, &target);
	publish_free(vm->publish);
	vm->publish = new;
	return 0;
}

void publish_close(struct vm *vm)
{
	publish_free(TAKE_PTR(vm->publish));
}

json_t *publish_to_json(const struct vm *vm)
{
	json_t *list = json_array();
	struct pairs pairs;

	load(vm->row->publish, &pairs);
	for (size_t i = 0; i < pairs.count; i++)
		json_array_append_new(list,
			json_pack("{s:i, s:i, s:b}", "host", pairs.pair[i].host, "guest",
				pairs.pair[i].guest, "open", is_open(vm, pairs.pair[i].host)));
	return list;
}
