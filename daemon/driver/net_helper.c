/* SPDX-License-Identifier: ISC */
/*
 * The carrier of net.c that talks to banger-privhelper: HELLO, LIST, then verbs as they come. The
 * helper answers in order; an answer out of turn, a silence of ANSWER_USEC or the end of the socket
 * is the end of it, and every call gets the reason.
 */
#include <assert.h>
#include <stdio.h>

#include "common/fd.h"
#include "common/log.h"
#include "daemon/driver/net_impl.h"
#include "daemon/priv/priv_client.h"

enum { ANSWER_USEC = 60 * 1000 * 1000, REPLIES_PER_TURN = 32 };

/* priv_helper_check finds what is wrong with the file; nothing found: it died of something else. */
static void die_of(struct net *net, int errnum, const char *what)
{
	struct bg_err *err = NULL;

	if (priv_helper_check(net->helper_path, &err) >= 0)
		bg_err_set(&err, BG_ERR_HELPER_FAILED, errnum, "the network helper %s %s",
			net->helper_path, what);
	net_die(net, err);
}

static void on_deadline(void *userdata)
{
	struct net *net = userdata;
	struct bg_err *err = NULL;

	bg_err_set(&err, BG_ERR_HELPER_FAILED, ETIMEDOUT, "the network helper %s does not answer",
		net->helper_path);
	net_die(net, err);
}

/* Runs while an answer is owed, from the last sign of life. */
static int watch_answers(struct net *net)
{
	loop_source_free(net->deadline);
	net->deadline = NULL;
	if (TAILQ_EMPTY(&net->sent))
		return 0;
	return loop_add_timer(
		net->loop, "net deadline", ANSWER_USEC, on_deadline, net, &net->deadline);
}

static int encode(const struct net_call *call, struct priv_msg *ret)
{
	switch (call->kind) {
	case NET_HELLO:
		return priv_encode_hello(call->id, ret);
	case NET_LIST:
		return priv_encode_list(call->id, ret);
	case NET_ATTACH:
		return priv_encode_net_attach(call->id, call->slot, ret);
	case NET_DETACH:
		return priv_encode_net_detach(call->id, call->slot, ret);
	case NET_NAT:
		return priv_encode_net_nat(
			call->id, call->slot, call->reach.nat, call->reach.peers, ret);
	case NET_DNS:
		return priv_encode_dns_port(call->id, call->socks[0], call->socks[1], ret);
	case NET_READY:
		break;
	}
	assert(!"a call that is not sent");
	return -EINVAL;
}

/* -EAGAIN: no room in the socket now. */
static int send_call(struct net *net, struct net_call *call)
{
	struct priv_msg msg = {0};
	int r;

	call->id = net->next_id;
	r = encode(call, &msg);
	if (r < 0)
		return r;
	r = priv_msg_send(net->sock, &msg);
	if (r < 0)
		return r;
	net->next_id = net->next_id == UINT32_MAX ? 1 : net->next_id + 1;
	net_call_sent(call);
	return 0;
}

static void refuse_slot(struct net_call *call)
{
	struct bg_err *err = NULL;

	bg_err_set(&err, BG_ERR_INTERNAL, EINVAL, "there is no network slot %u", call->slot);
	net_call_finish(call, err);
}

static void helper_pump(struct net *net)
{
	bool idle = TAILQ_EMPTY(&net->sent);
	struct net_call *call, *next;
	int r = 0;

	if (net->err || net->sock < 0)
		return;
	for (call = TAILQ_FIRST(&net->waiting); call && r >= 0; call = next) {
		next = TAILQ_NEXT(call, link);
		if (call->kind == NET_READY)
			continue;
		r = send_call(net, call);
		if (r == -EINVAL) {
			refuse_slot(call);
			r = 0;
		}
	}
	if (r < 0 && r != -EAGAIN) {
		die_of(net, -r, "is gone");
		return;
	}
	if (loop_source_set_events(net->io, r == -EAGAIN ? LOOP_READ | LOOP_WRITE : LOOP_READ) <
			0 ||
		(idle && watch_answers(net) < 0))
		die_of(net, ENOMEM, "cannot be watched");
}

/* Sent before all others. */
static int send_own(struct net *net, enum net_kind kind)
{
	struct net_call *call = net_call_new(net, kind, 0);
	int r;

	if (!call)
		return -ENOMEM;
	call->forgotten = true;
	r = send_call(net, call);
	if (r < 0) {
		free(call);
		return r;
	}
	return watch_answers(net);
}

static void card_from(const struct priv_net *from, unsigned slot, struct net_card *ret)
{
	unsigned m[6] = {0};

	ret->slot = slot;
	snprintf(ret->tap, sizeof(ret->tap), "%s", from->tap);
	snprintf(ret->address, sizeof(ret->address), "%s", from->guest);
	snprintf(ret->gateway, sizeof(ret->gateway), "%s", from->gateway);
	(void)sscanf(
		from->mac, "%2x:%2x:%2x:%2x:%2x:%2x", &m[0], &m[1], &m[2], &m[3], &m[4], &m[5]);
	for (size_t i = 0; i < ARRAY_SIZE(m); i++)
		ret->mac[i] = (uint8_t)m[i];
}

static int decode_card(struct net_call *call, const struct priv_msg *msg, struct bg_err **err)
{
	struct priv_net from;
	char route[PRIV_ROUTE_TEXT];
	int r = priv_decode_net_attach(msg, &from, err);

	if (r >= 0)
		card_from(&from, call->slot, &call->card);
	else if (r == -EADDRINUSE && priv_route_overlap(call->net->gateway, route))
		bg_err_context(err, "the route %s overlaps with the VMs' addresses", route);
	return r;
}

/* HELLO refused is the end; its error is the one to show. */
static void on_hello(struct net *net, const struct priv_msg *msg)
{
	struct bg_err *err = NULL;
	struct priv_hello hello;
	int r = priv_decode_hello(msg, &hello, &err);

	net_call_finish(TAILQ_FIRST(&net->sent), NULL);
	if (r < 0) {
		net_die(net, err);
		return;
	}
	net->slots = hello.slots;
	memcpy(net->gateway, hello.gateway, sizeof(net->gateway));
	r = send_own(net, NET_LIST);
	if (r < 0)
		die_of(net, -r, "is gone");
}

static void on_list(struct net *net, const struct priv_msg *msg)
{
	struct bg_err *err = NULL;
	int r = priv_decode_list(msg, &net->held, &err);

	net_call_finish(TAILQ_FIRST(&net->sent), NULL);
	if (r < 0)
		net_die(net, err);
	else
		net_set_ready(net);
}

static void on_verb(struct net *net, const struct priv_msg *msg)
{
	struct net_call *call = TAILQ_FIRST(&net->sent);
	struct bg_err *err = NULL;
	bool was;
	int r;

	if (call->kind == NET_ATTACH)
		r = decode_card(call, msg, &err);
	else if (call->kind == NET_DNS)
		r = priv_decode_dns_port(msg, &err);
	else if (call->kind == NET_NAT)
		r = priv_decode_net_nat(msg, &was, &err);
	else
		r = priv_decode_net_detach(msg, &was, &err);
	net_call_finish(call, err);
	if (r == -EBADMSG)
		die_of(net, EBADMSG, "breaks the protocol");
}

static void on_reply(struct net *net, const struct priv_msg *msg)
{
	const struct net_call *call = TAILQ_FIRST(&net->sent);
	struct priv_hello hello;
	struct bg_err *err = NULL;
	uint32_t id;

	if (priv_reply_id(msg, &id) < 0 || (id != 0 && (!call || id != call->id))) {
		die_of(net, EBADMSG, "breaks the protocol");
		return;
	}
	/* Unasked: it says why it could not start. */
	if (id == 0) {
		if (priv_decode_hello(msg, &hello, &err) >= 0)
			die_of(net, EBADMSG, "breaks the protocol");
		else
			net_die(net, err);
		return;
	}
	if (call->kind == NET_HELLO)
		on_hello(net, msg);
	else if (call->kind == NET_LIST)
		on_list(net, msg);
	else
		on_verb(net, msg);
}

static void on_io(int fd, unsigned events, void *userdata)
{
	struct net *net = userdata;
	struct priv_msg msg;
	int r = 0;

	for (unsigned i = 0; i < REPLIES_PER_TURN && !net->err; i++) {
		r = priv_msg_recv(net->sock, &msg);
		if (r < 0)
			break;
		on_reply(net, &msg);
		priv_msg_close(&msg);
		if (!net->err && watch_answers(net) < 0)
			die_of(net, ENOMEM, "cannot be watched");
	}
	if (net->err)
		return;
	if (r < 0 && r != -EAGAIN)
		die_of(net, r == -EPIPE ? EPIPE : -r,
			r == -EPIPE ? "is gone" : "breaks the protocol");
	else if ((events & LOOP_WRITE) && net->ready)
		helper_pump(net);
}

static void helper_release(struct net *net)
{
	loop_source_free(net->io);
	loop_source_free(net->deadline);
	net->io = net->deadline = NULL;
	net->sock = bg_close(net->sock);
}

/* A helper that cannot be talked to is not a failure of ours: the error is for those who want a
 * network. */
static void helper_begin(struct net *net)
{
	int r;

	if (net->sock < 0) {
		die_of(net, ENOENT, "could not be started");
		return;
	}
	r = bg_set_nonblock(net->sock, true);
	if (r >= 0)
		r = loop_add_fd(net->loop, "net", net->sock, LOOP_READ, on_io, net, &net->io);
	if (r >= 0)
		r = send_own(net, NET_HELLO);
	/* -EPIPE: it ended already; what it said before that is still in the socket. */
	if (r < 0 && r != -EPIPE)
		die_of(net, -r, "cannot be talked to");
}

static const struct net_carrier helper_carrier = {
	.pump = helper_pump, .begin = helper_begin, .release = helper_release};

int net_new(struct loop *loop, int helper_sock, const char *helper_path, struct net **ret,
	struct bg_err **err)
{
	struct net *net = net_alloc(loop, &helper_carrier);
	char *path = strdup(helper_path);

	if (!net || !path) {
		bg_close(helper_sock);
		free(path);
		free(net);
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	net->sock = helper_sock;
	net->helper_path = path;
	net->next_id = 1;
	helper_begin(net);
	*ret = net;
	return 0;
}
