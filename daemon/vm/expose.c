/* SPDX-License-Identifier: ISC */
/*
 * See expose.h. Of each port one tunnel waits in the guest; when somebody there has connected to it, the next is begun.
 * The list of ports goes first, in the same conversation.
 */
#include "daemon/vm/expose.h"

#include <stdio.h>
#include <sys/queue.h>

#include "common/agent_exec.h"
#include "common/json.h"
#include "common/limits.h"
#include "common/log.h"
#include "common/rate.h"
#include "daemon/driver/guest.h"
#include "daemon/driver/tunnel.h"
#include "daemon/engine.h"
#include "daemon/vm/vm.h"

struct line {
	LIST_ENTRY(line) link;
	struct expose *expose;
	struct tunnel *tunnel;
};

/* A guest that opens and ends connections without a pause would take all of this host's ports towards that service. */
enum { TUNNELS_AT_ONCE = 256, TUNNEL_EARNED_USEC = 10 * 1000 };

struct expose {
	struct vm *vm;
	struct bg_rate rate;	   /* of tunnels */
	struct loop_source *later; /* there were too many */
	bool told;		   /* this conversation's agent */
	struct guest_stream *list; /* it is being told which ports there are */
	LIST_HEAD(, line) lines;
	unsigned count;
};

struct ports {
	uint16_t port[BG_EXPOSE_MAX + 1];
	size_t count;
};

static size_t place_of(const struct ports *ports, json_int_t port)
{
	size_t i = 0;

	while (i < ports->count && ports->port[i] != port)
		i++;
	return i;
}

/* The row's own text: what does not read is not there. */
static void load(const char *text, struct ports *ret)
{
	_json_ json_t *list = text ? json_loads(text, 0, NULL) : NULL;
	const json_t *item;
	size_t i;

	ret->count = 0;
	json_array_foreach (list, i, item) {
		json_int_t port = json_integer_value(item);

		if (ret->count < BG_EXPOSE_MAX && port > 0 && port <= UINT16_MAX)
			ret->port[ret->count++] = (uint16_t)port;
	}
}

static int store(const struct ports *ports, char **ret, struct bg_err **err)
{
	_json_ json_t *list = json_array();

	*ret = NULL;
	if (ports->count == 0)
		return 0;
	for (size_t i = 0; i < ports->count; i++)
		json_array_append_new(list, json_integer(ports->port[i]));
	*ret = json_dumps(list, JSON_COMPACT);
	return *ret ? 0 : bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
}

static int remove_ports(struct ports *ports, const json_t *remove, struct bg_err **err)
{
	const json_t *item;
	size_t i;

	json_array_foreach (remove, i, item) {
		size_t at = place_of(ports, json_integer_value(item));

		if (at == ports->count)
			return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL,
				"port %lld of this machine is not exposed to this VM",
				(long long)json_integer_value(item));
		ports->port[at] = ports->port[--ports->count];
	}
	return 0;
}

static int add_ports(struct ports *ports, const json_t *add, struct bg_err **err)
{
	const json_t *item;
	size_t i;

	json_array_foreach (add, i, item) {
		json_int_t port = json_integer_value(item);

		if (port <= 0 || port > UINT16_MAX)
			return bg_err_set(
				err, BG_ERR_BAD_REQUEST, EINVAL, "a port to expose is 1 to 65535");
		if (place_of(ports, port) < ports->count)
			continue;
		if (ports->count == BG_EXPOSE_MAX)
			return bg_err_set(err, BG_ERR_VM_LIMITS, E2BIG,
				"a VM is given at most %d ports of this machine", BG_EXPOSE_MAX);
		ports->port[ports->count++] = (uint16_t)port;
	}
	return 0;
}

int expose_apply(
	const char *old, const json_t *add, const json_t *remove, char **ret, struct bg_err **err)
{
	struct ports ports;
	int r;

	load(old, &ports);
	r = remove_ports(&ports, remove, err);
	if (r >= 0)
		r = add_ports(&ports, add, err);
	return r < 0 ? r : store(&ports, ret, err);
}

static void line_free(struct line *line)
{
	LIST_REMOVE(line, link);
	line->expose->count--;
	tunnel_free(line->tunnel);
	free(line);
}

static struct line *waiting_for(const struct expose *e, uint16_t port)
{
	struct line *line;

	LIST_FOREACH (line, &e->lines, link)
		if (tunnel_port(line->tunnel) == port && tunnel_waits(line->tunnel))
			return line;
	return NULL;
}

static void wait_for(struct expose *e, uint16_t port);

/* Those that wait are what is missing of what the row says. */
static void wait_for_all(struct expose *e)
{
	struct ports ports;

	load(e->vm->row->expose, &ports);
	for (size_t i = 0; i < ports.count; i++)
		if (!waiting_for(e, ports.port[i]))
			wait_for(e, ports.port[i]);
}

/* The one that was taken waits no more when this comes back, so it is not counted as waiting. */
static void on_taken(struct tunnel *tunnel, void *userdata)
{
	struct line *line = userdata;

	wait_for(line->expose, tunnel_port(tunnel));
}

static void on_ended(struct tunnel *tunnel, const char *why, void *userdata)
{
	struct line *line = userdata;
	struct expose *e = line->expose;
	bool used = !tunnel_waits(tunnel);
	char port[8];

	(void)snprintf(port, sizeof(port), "%u", tunnel_port(tunnel));
	if (why)
		log_msg(LOG_WARN, "vm", "a port cannot be exposed", "vm", e->vm->row->name, "port",
			port, "error", why, NULL);
	line_free(line);
	/* There may have been too many for the next one to wait. */
	if (used && e->vm->guest && guest_connected(e->vm->guest))
		wait_for_all(e);
}

static void on_later(void *userdata)
{
	struct expose *e = userdata;

	loop_source_free(TAKE_PTR(e->later));
	if (e->vm->guest && guest_connected(e->vm->guest))
		wait_for_all(e);
}

/* Whether there may be one more now; else it is looked again soon. */
static bool take_turn(struct expose *e)
{
	struct loop *loop = e->vm->engine->loop;

	if (e->count >= BG_EXPOSE_CONNECTIONS_MAX) /* the end of one is the next chance */
		return false;
	if (bg_rate_take(&e->rate, loop_now_usec()))
		return true;
	if (!e->later)
		(void)loop_add_timer(loop, "expose", TUNNEL_EARNED_USEC, on_later, e, &e->later);
	return false;
}

static void wait_for(struct expose *e, uint16_t port)
{
	static const struct tunnel_events events = {on_taken, on_ended};
	_free_ struct line *line = calloc(1, sizeof(*line));
	_err_ struct bg_err *err = NULL;

	if (!line || !take_turn(e))
		return;
	line->expose = e;
	if (tunnel_wait(e->vm->engine->loop, e->vm->guest, port, &events, line, &line->tunnel,
		    &err) < 0) {
		log_err(LOG_WARN, "vm", e->vm->row->name, err);
		return;
	}
	LIST_INSERT_HEAD(&e->lines, line, link);
	e->count++;
	TAKE_PTR(line);
}

static void on_list_frame(
	struct guest_stream *stream, const struct bg_agent_frame *frame, void *userdata)
{
	struct expose *e = userdata;

	(void)frame;
	guest_stream_free(stream);
	e->list = NULL;
}

static void on_list_room(struct guest_stream *stream, void *userdata)
{
	(void)stream;
	(void)userdata;
}

static void on_list_broken(struct guest_stream *stream, const char *why, void *userdata)
{
	(void)why;
	on_list_frame(stream, NULL, userdata);
}

/* An agent that is older answers ENOSYS, and the tunnels' ends say so again. */
static int tell_list(struct expose *e, const struct ports *ports, struct bg_err **err)
{
	static const struct guest_stream_events events = {
		on_list_frame, on_list_room, on_list_broken};
	char text[BG_EXPOSE_MAX][8];
	const char *argv[BG_EXPOSE_MAX + 1] = {NULL}, *const env[] = {NULL};
	const struct bg_exec exec = {.kind = BG_AGENT_K_EXPOSE, .argv = argv, .env = env};
	_free_ uint8_t *payload = NULL;
	size_t len;
	int r;

	for (size_t i = 0; i < ports->count; i++) {
		(void)snprintf(text[i], sizeof(text[i]), "%u", ports->port[i]);
		argv[i] = text[i];
	}
	guest_stream_free(TAKE_PTR(e->list));
	r = bg_exec_encode(&exec, &payload, &len);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "encode a command");
	return guest_stream_open(e->vm->guest, payload, len, &events, e, &e->list, err);
}

/* Those that somebody uses stay until they end. */
static void drop_waiting(struct expose *e, const struct ports *keep)
{
	struct line *line, *next;

	for (line = LIST_FIRST(&e->lines); line; line = next) {
		next = LIST_NEXT(line, link);
		if (tunnel_waits(line->tunnel) &&
			place_of(keep, tunnel_port(line->tunnel)) == keep->count)
			line_free(line);
	}
}

void expose_follow(struct vm *vm)
{
	_err_ struct bg_err *err = NULL;
	struct ports ports;

	load(vm->row->expose, &ports);
	if (!vm->guest || !guest_connected(vm->guest) || (ports.count == 0 && !vm->expose))
		return;
	if (!vm->expose) {
		vm->expose = calloc(1, sizeof(*vm->expose));
		if (!vm->expose)
			return;
		vm->expose->vm = vm;
		vm->expose->rate = bg_rate_of(TUNNELS_AT_ONCE, TUNNEL_EARNED_USEC, loop_now_usec());
	}
	vm->expose->told = true;
	drop_waiting(vm->expose, &ports);
	if (tell_list(vm->expose, &ports, &err) < 0)
		log_err(LOG_WARN, "vm", vm->row->name, err);
	else
		wait_for_all(vm->expose);
}

void expose_on_agent(struct vm *vm, bool connected)
{
	if (vm->expose && !connected)
		vm->expose->told = false;
	else if (!vm->expose || !vm->expose->told)
		expose_follow(vm);
}

void expose_close(struct vm *vm)
{
	struct expose *e = TAKE_PTR(vm->expose);

	if (!e)
		return;
	while (!LIST_EMPTY(&e->lines))
		line_free(LIST_FIRST(&e->lines));
	guest_stream_free(e->list);
	loop_source_free(e->later);
	free(e);
}

json_t *expose_to_json(const struct vm *vm)
{
	json_t *list = json_array();
	struct ports ports;

	load(vm->row->expose, &ports);
	for (size_t i = 0; i < ports.count; i++)
		json_array_append_new(list,
			json_pack("{s:i, s:b}", "port", ports.port[i], "open",
				vm->expose && waiting_for(vm->expose, ports.port[i]) != NULL));
	return list;
}
