/* SPDX-License-Identifier: ISC */
/* See net.h. Calls and their completion; never touches a socket. Completions come from the loop
 * only. */
#include <assert.h>
#include <fcntl.h>

#include "common/log.h"
#include "daemon/driver/net_impl.h"

struct net *net_alloc(struct loop *loop, const struct net_carrier *carrier)
{
	struct net *net = calloc(1, sizeof(*net));

	if (!net)
		return NULL;
	net->loop = loop;
	net->carrier = carrier;
	net->sock = -1;
	TAILQ_INIT(&net->waiting);
	TAILQ_INIT(&net->sent);
	return net;
}

struct net_call *net_call_new(struct net *net, enum net_kind kind, unsigned slot)
{
	struct net_call *call = calloc(1, sizeof(*call));

	if (!call)
		return NULL;
	call->net = net;
	call->kind = kind;
	call->slot = slot;
	call->state = NET_CALL_DONE;
	call->socks[0] = call->socks[1] = -1;
	return call;
}

static void leave_list(struct net_call *call)
{
	if (call->state == NET_CALL_WAITING)
		TAILQ_REMOVE(&call->net->waiting, call, link);
	else if (call->state == NET_CALL_SENT)
		TAILQ_REMOVE(&call->net->sent, call, link);
	call->state = NET_CALL_DONE;
}

static void enter_waiting(struct net_call *call)
{
	TAILQ_INSERT_TAIL(&call->net->waiting, call, link);
	call->state = NET_CALL_WAITING;
}

void net_call_sent(struct net_call *call)
{
	leave_list(call);
	TAILQ_INSERT_TAIL(&call->net->sent, call, link);
	call->state = NET_CALL_SENT;
}

static void destroy(struct net_call *call)
{
	leave_list(call);
	loop_source_free(call->deferred);
	bg_err_free(call->err);
	bg_close(call->socks[0]);
	bg_close(call->socks[1]);
	free(call);
}

static void on_deferred(void *userdata)
{
	struct net_call *call = userdata;

	if (call->attached)
		call->attached(call->err ? NULL : &call->card, call->err, call->userdata);
	else
		call->done(call->err, call->userdata);
}

void net_call_finish(struct net_call *call, struct bg_err *err)
{
	leave_list(call);
	call->err = err;
	if (call->forgotten)
		destroy(call);
	else if (loop_defer(call->net->loop, "net done", on_deferred, call, &call->deferred) < 0)
		log_msg(LOG_ERROR, "net", "out of memory: a completion is lost", NULL);
}

/* Those that wait for the answer to HELLO, or all that wait. */
static void finish_waiting(struct net *net, const struct bg_err *err, bool all)
{
	struct net_call *call, *next;

	for (call = TAILQ_FIRST(&net->waiting); call; call = next) {
		next = TAILQ_NEXT(call, link);
		if (all || call->kind == NET_READY)
			net_call_finish(call, bg_err_copy(err));
	}
}

void net_set_ready(struct net *net)
{
	net->ready = true;
	finish_waiting(net, NULL, false);
	net->carrier->pump(net);
}

void net_die(struct net *net, struct bg_err *err)
{
	struct net_call *call;

	if (net->err) {
		bg_err_free(err);
		return;
	}
	net->err = err;
	net->slots = 0;
	net->carrier->release(net);
	while ((call = TAILQ_FIRST(&net->sent)))
		net_call_finish(call, bg_err_copy(err));
	finish_waiting(net, err, true);
	if (net->lost)
		net->lost(net->lost_data);
}

void net_set_lost(struct net *net, void (*lost)(void *userdata), void *userdata)
{
	net->lost = lost;
	net->lost_data = userdata;
}

void net_expect(struct net *net)
{
	net->expected = true;
}

void net_revive(struct net *net, int sock)
{
	bg_err_free(TAKE_PTR(net->err));
	net->expected = net->ready = false;
	net->held = 0;
	net->sock = sock;
	net->carrier->begin(net);
}

/* A call that its owner wants; NULL with err. */
static struct net_call *new_call(struct net *net, enum net_kind kind, unsigned slot,
	net_done_fn done, void *userdata, struct bg_err **err)
{
	struct net_call *call = net_call_new(net, kind, slot);

	if (!call) {
		bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
		return NULL;
	}
	call->done = done;
	call->userdata = userdata;
	return call;
}

/* Takes a call of new_call, or its failure. */
static int start_call(struct net_call *call, struct net_call **ret)
{
	struct net *net;

	if (!call)
		return -ENOMEM;
	net = call->net;
	enter_waiting(call);
	*ret = call;
	if (net->err && !net->expected)
		net_call_finish(call, bg_err_copy(net->err));
	else if (!net->err && net->ready && call->kind == NET_READY)
		net_call_finish(call, NULL);
	else if (!net->err && net->ready)
		net->carrier->pump(net);
	return 0;
}

int net_attach(struct net *net, unsigned slot, net_attach_fn done, void *userdata,
	struct net_call **ret, struct bg_err **err)
{
	struct net_call *call = new_call(net, NET_ATTACH, slot, NULL, userdata, err);

	if (call)
		call->attached = done;
	return start_call(call, ret);
}

int net_detach(struct net *net, unsigned slot, net_done_fn done, void *userdata,
	struct net_call **ret, struct bg_err **err)
{
	return start_call(new_call(net, NET_DETACH, slot, done, userdata, err), ret);
}

int net_nat(struct net *net, unsigned slot, struct net_reach reach, net_done_fn done,
	void *userdata, struct net_call **ret, struct bg_err **err)
{
	struct net_call *call = new_call(net, NET_NAT, slot, done, userdata, err);

	if (call)
		call->reach = reach;
	return start_call(call, ret);
}

int net_dns(struct net *net, int udp, int tcp, net_done_fn done, void *userdata,
	struct net_call **ret, struct bg_err **err)
{
	struct net_call *call = new_call(net, NET_DNS, 0, done, userdata, err);

	if (!call)
		return -ENOMEM;
	call->socks[0] = fcntl(udp, F_DUPFD_CLOEXEC, 0);
	call->socks[1] = fcntl(tcp, F_DUPFD_CLOEXEC, 0);
	if (call->socks[0] < 0 || call->socks[1] < 0) {
		destroy(call);
		return bg_err_sys(err, BG_ERR_INTERNAL, errno, "duplicate the DNS sockets");
	}
	return start_call(call, ret);
}

int net_when_ready(
	struct net *net, net_done_fn fn, void *userdata, struct net_call **ret, struct bg_err **err)
{
	return start_call(new_call(net, NET_READY, 0, fn, userdata, err), ret);
}

void net_call_free(struct net_call *call)
{
	if (!call)
		return;
	/* The helper will carry it out, so that its answer has to find the call. */
	if (call->net && call->state != NET_CALL_DONE && call->kind != NET_READY)
		call->forgotten = true;
	else
		destroy(call);
}

/* The owner frees what it still holds; what it has let go of goes here. */
static void orphan(struct net_call *call)
{
	leave_list(call);
	call->net = NULL;
	if (call->forgotten)
		destroy(call);
}

void net_free(struct net *net)
{
	struct net_call *call;

	if (!net)
		return;
	net->carrier->release(net);
	while ((call = TAILQ_FIRST(&net->sent)))
		orphan(call);
	while ((call = TAILQ_FIRST(&net->waiting)))
		orphan(call);
	bg_err_free(net->err);
	free(net->helper_path);
	free(net);
}

unsigned net_slots(const struct net *net)
{
	return net->slots;
}

const char *net_gateway(const struct net *net)
{
	return net->gateway;
}

const struct bg_err *net_error(const struct net *net)
{
	return net->err;
}

uint64_t net_held(const struct net *net)
{
	return net->held;
}
