/* SPDX-License-Identifier: ISC */
/* daemon/driver/net.c and net_helper.c against a helper played by this process, and net_fake.c. */
#include "daemon/driver/net.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>

#include "common/priv_proto.h"
#include "tests/driver/spin.h"

struct outcome {
	struct net_call *call;
	unsigned completed;
	bool ok;
	struct net_card card;
	enum bg_err_code code;
	char message[300];
};

static struct loop *loop;
static struct net *net;
static int helper = -1;

static void setup(void)
{
	int pair[2];

	CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	helper = pair[1];
	CHECK_INT(loop_new(&loop), 0);
	CHECK_INT(net_new(loop, pair[0], "/nonexistent/helper", &net, NULL), 0);
}

static void teardown(void)
{
	net_free(net);
	bg_close(helper);
	loop_free(loop);
}

static void note(struct outcome *o, const struct bg_err *err)
{
	o->completed++;
	o->ok = !err;
	o->code = err ? err->code : BG_ERR_MAX_;
	snprintf(o->message, sizeof(o->message), "%s", err ? err->message : "");
}

static void on_attach(const struct net_card *card, struct bg_err *err, void *userdata)
{
	struct outcome *o = userdata;

	CHECK(!card != !err);
	if (card)
		o->card = *card;
	note(o, err);
}

static void on_done(struct bg_err *err, void *userdata)
{
	note(userdata, err);
}

static struct priv_req next_request(enum priv_verb verb)
{
	struct priv_msg msg;
	struct priv_req req;

	SPIN(loop, spin_readable(helper));
	CHECK_INT(priv_msg_recv(helper, &msg), 0);
	CHECK_INT(priv_req_decode(&msg, &req), 0);
	CHECK_INT(req.verb, verb);
	return req;
}

static void reply(struct priv_rep rep)
{
	struct priv_msg msg = {0};
	int r;

	CHECK_INT(priv_rep_encode(&rep, &msg), 0);
	/* The queue may be full of answers that the loop has not read yet. */
	CHECK_INT(fcntl(helper, F_SETFL, O_NONBLOCK), 0);
	SPIN(loop, (r = priv_msg_send(helper, &msg)) != -EAGAIN);
	CHECK_INT(r, 0);
}

static void answer_hello(void)
{
	struct priv_req req = next_request(PRIV_HELLO);

	CHECK_INT(req.hello.hash, priv_table_hash());
	reply((struct priv_rep){.verb = PRIV_HELLO,
		.id = req.id,
		.hello = {.hash = priv_table_hash(),
			.index = 3,
			.slots = 16,
			.gateway = 0x0ad10301,
			.abilities = PRIV_ABILITY_NET}});
	req = next_request(PRIV_LIST);
	reply((struct priv_rep){.verb = PRIV_LIST, .id = req.id, .list = {.attached = 0x22}});
}

static void answer_attach(void)
{
	struct priv_req req = next_request(PRIV_NET_ATTACH);
	struct priv_rep rep = {.verb = PRIV_NET_ATTACH, .id = req.id};
	unsigned slot = req.net_attach.slot;

	rep.net_attach.fresh = 1;
	snprintf(rep.net_attach.tap, sizeof(rep.net_attach.tap), "bgr3-%u", slot);
	rep.net_attach.guest = 0x0ad10302 + slot;
	rep.net_attach.gateway = 0x0ad10301;
	memcpy(rep.net_attach.mac, (uint8_t[]){0x02, 0x62, 0x67, 0, 3, (uint8_t)slot}, 6);
	reply(rep);
}

TEST(hello_list_and_calls_that_waited)
{
	struct outcome ready = {0}, a = {0};

	setup();
	CHECK_INT(net_when_ready(net, on_done, &ready, &ready.call, NULL), 0);
	CHECK_INT(net_attach(net, 7, on_attach, &a, &a.call, NULL), 0);
	CHECK_INT(net_slots(net), 0);
	spin_turn(loop);
	CHECK_INT(ready.completed, 0);
	answer_hello();
	SPIN(loop, ready.completed == 1);
	CHECK(ready.ok);
	CHECK_INT(net_slots(net), 16);
	CHECK_INT(net_held(net), 0x22);
	CHECK(!net_error(net));
	answer_attach();
	SPIN(loop, a.completed == 1);
	CHECK_STR(a.card.tap, "bgr3-7");
	CHECK_STR(a.card.address, "10.209.3.9");
	CHECK_STR(a.card.gateway, "10.209.3.1");
	CHECK_INT(a.card.mac[4], 3);
	CHECK_INT(a.card.mac[5], 7);
	CHECK_INT(a.card.slot, 7);
	net_call_free(ready.call);
	net_call_free(a.call);
	teardown();
}

TEST(ready_at_once_when_it_was)
{
	struct outcome ready = {0};

	setup();
	answer_hello();
	SPIN(loop, net_slots(net) == 16 && net_held(net) != 0);
	CHECK_INT(net_when_ready(net, on_done, &ready, &ready.call, NULL), 0);
	CHECK_INT(ready.completed, 0); /* from the loop only */
	SPIN(loop, ready.completed == 1);
	net_call_free(ready.call);
	teardown();
}

TEST(refusal_is_the_calls_own)
{
	struct outcome a = {0}, d = {0};
	struct priv_req req;

	setup();
	answer_hello();
	CHECK_INT(net_attach(net, 20, on_attach, &a, &a.call, NULL), 0);
	CHECK_INT(net_detach(net, 5, on_done, &d, &d.call, NULL), 0);
	req = next_request(PRIV_NET_ATTACH);
	reply((struct priv_rep){
		.verb = PRIV_NET_ATTACH, .id = req.id, .code = PRIV_CODE_SLOT_LIMIT});
	req = next_request(PRIV_NET_DETACH);
	CHECK_INT(req.net_detach.slot, 5);
	reply((struct priv_rep){
		.verb = PRIV_NET_DETACH, .id = req.id, .net_detach = {.existed = 1}});
	SPIN(loop, a.completed == 1 && d.completed == 1);
	CHECK_INT(a.code, BG_ERR_HELPER_LIMIT);
	CHECK(d.ok);
	CHECK(!net_error(net));
	net_call_free(a.call);
	net_call_free(d.call);
	teardown();
}

TEST(nat)
{
	struct outcome on = {0}, off = {0};
	struct priv_req req;

	setup();
	answer_hello();
	CHECK_INT(net_nat(net, 5, (struct net_reach){.nat = true, .peers = true}, on_done, &on,
			  &on.call, NULL),
		0);
	CHECK_INT(net_nat(net, 6, (struct net_reach){.nat = false}, on_done, &off, &off.call, NULL),
		0);
	req = next_request(PRIV_NET_NAT);
	CHECK(req.net_nat.slot == 5 && req.net_nat.on == 1 && req.net_nat.peers == 1);
	reply((struct priv_rep){.verb = PRIV_NET_NAT, .id = req.id, .net_nat = {.changed = 1}});
	req = next_request(PRIV_NET_NAT);
	CHECK(req.net_nat.slot == 6 && req.net_nat.on == 0 && req.net_nat.peers == 0);
	reply((struct priv_rep){.verb = PRIV_NET_NAT, .id = req.id, .code = PRIV_CODE_NO_FORWARD});
	SPIN(loop, on.completed == 1 && off.completed == 1);
	CHECK(on.ok);
	CHECK_INT(off.code, BG_ERR_HELPER_REFUSED);
	CHECK(strstr(off.message, "net.ipv4.ip_forward") != NULL);
	net_call_free(on.call);
	net_call_free(off.call);
	teardown();
}

/* The helper gets what it can look at, and the sender keeps its own: each end of a pipe. */
TEST(name_servers_sockets)
{
	struct outcome done = {0};
	struct priv_msg msg;
	struct priv_req req;
	int ends[2];
	char c;

	setup();
	answer_hello();
	SPIN(loop, net_slots(net) == 16);
	CHECK_STR(net_gateway(net), "10.209.3.1");
	CHECK_INT(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
	CHECK_INT(net_dns(net, ends[0], ends[1], on_done, &done, &done.call, NULL), 0);
	SPIN(loop, spin_readable(helper));
	CHECK_INT(priv_msg_recv(helper, &msg), 0);
	CHECK_INT(priv_req_decode(&msg, &req), 0);
	CHECK_INT(req.verb, PRIV_DNS_PORT);
	reply((struct priv_rep){.verb = PRIV_DNS_PORT, .id = req.id});
	SPIN(loop, done.completed == 1);
	CHECK(done.ok);
	net_call_free(done.call);
	bg_close(ends[1]);
	CHECK_INT(write(req.fds[1], "x", 1), 1);
	CHECK_INT(read(ends[0], &c, 1), 1);
	priv_msg_close(&msg);
	CHECK_INT(read(ends[0], &c, 1), 0); /* nobody holds a duplicate any more */
	bg_close(ends[0]);
	teardown();
}

TEST(slot_that_is_none)
{
	struct outcome a = {0};

	setup();
	answer_hello();
	CHECK_INT(net_attach(net, 4000, on_attach, &a, &a.call, NULL), 0);
	SPIN(loop, a.completed == 1);
	CHECK_INT(a.code, BG_ERR_INTERNAL);
	net_call_free(a.call);
	teardown();
}

TEST(freed_call_is_carried_out_and_forgotten)
{
	struct outcome a = {0}, b = {0};

	setup();
	answer_hello();
	CHECK_INT(net_attach(net, 1, on_attach, &a, &a.call, NULL), 0);
	CHECK_INT(net_attach(net, 2, on_attach, &b, &b.call, NULL), 0);
	spin_for(loop, 10 * 1000);
	net_call_free(a.call);
	answer_attach();
	answer_attach();
	SPIN(loop, b.completed == 1);
	CHECK_STR(b.card.tap, "bgr3-2");
	CHECK_INT(a.completed, 0);
	net_call_free(b.call);
	teardown();
}

TEST(freed_while_the_answer_is_on_its_way)
{
	struct outcome a = {0};

	setup();
	answer_hello();
	CHECK_INT(net_attach(net, 1, on_attach, &a, &a.call, NULL), 0);
	answer_attach();
	net_call_free(a.call);
	spin_for(loop, 20 * 1000);
	CHECK_INT(a.completed, 0);
	teardown();
}

static void check_dead(struct outcome *pending, enum bg_err_code code)
{
	struct outcome later = {0};

	SPIN(loop, pending->completed == 1);
	CHECK(!pending->ok);
	CHECK_INT(pending->code, code);
	CHECK(net_error(net));
	CHECK_INT(net_slots(net), 0);
	CHECK_INT(net_attach(net, 1, on_attach, &later, &later.call, NULL), 0);
	SPIN(loop, later.completed == 1);
	CHECK_INT(later.code, code);
	net_call_free(pending->call);
	net_call_free(later.call);
	teardown();
}

TEST(helper_dies_before_hello)
{
	struct outcome a = {0};

	setup();
	CHECK_INT(net_attach(net, 1, on_attach, &a, &a.call, NULL), 0);
	helper = bg_close(helper);
	check_dead(&a, BG_ERR_HELPER_MISSING); /* priv_helper_check: the path names nothing */
}

TEST(helper_says_why_it_cannot_start)
{
	struct outcome a = {0};

	setup();
	CHECK_INT(net_attach(net, 1, on_attach, &a, &a.call, NULL), 0);
	reply((struct priv_rep){.verb = PRIV_HELLO, .id = 0, .code = PRIV_CODE_NOT_MEMBER});
	helper = bg_close(helper);
	check_dead(&a, BG_ERR_HELPER_NOT_MEMBER);
}

TEST(helper_of_another_build)
{
	struct outcome ready = {0};
	struct priv_req req;

	setup();
	CHECK_INT(net_when_ready(net, on_done, &ready, &ready.call, NULL), 0);
	req = next_request(PRIV_HELLO);
	reply((struct priv_rep){.verb = PRIV_HELLO, .id = req.id, .code = PRIV_CODE_VERSION});
	check_dead(&ready, BG_ERR_HELPER_REFUSED);
}

TEST(helper_dies_in_the_middle)
{
	struct outcome a = {0}, b = {0};

	setup();
	answer_hello();
	CHECK_INT(net_attach(net, 1, on_attach, &a, &a.call, NULL), 0);
	CHECK_INT(net_detach(net, 2, on_done, &b, &b.call, NULL), 0);
	(void)next_request(PRIV_NET_ATTACH);
	helper = bg_close(helper);
	SPIN(loop, b.completed == 1);
	CHECK(!b.ok);
	net_call_free(b.call);
	check_dead(&a, BG_ERR_HELPER_MISSING);
}

static void on_lost(void *userdata)
{
	++*(unsigned *)userdata;
}

/* The helper's end, a pause in which calls fail, one in which they wait, another helper. */
TEST(another_helper)
{
	struct outcome ready = {0}, during = {0}, waits = {0};
	unsigned lost = 0;
	int pair[2];

	setup();
	net_set_lost(net, on_lost, &lost);
	answer_hello();
	SPIN(loop, net_slots(net) == 16);
	helper = bg_close(helper);
	SPIN(loop, net_error(net));
	CHECK_INT(lost, 1);
	CHECK_INT(net_slots(net), 0);
	CHECK_INT(net_attach(net, 1, on_attach, &during, &during.call, NULL), 0);
	SPIN(loop, during.completed == 1);
	CHECK(!during.ok);
	net_expect(net);
	CHECK_INT(net_attach(net, 2, on_attach, &waits, &waits.call, NULL), 0);
	CHECK_INT(net_when_ready(net, on_done, &ready, &ready.call, NULL), 0);
	spin_turn(loop);
	CHECK_INT(waits.completed + ready.completed, 0);
	CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	helper = pair[1];
	net_revive(net, pair[0]);
	answer_hello();
	answer_attach();
	SPIN(loop, waits.completed == 1 && ready.completed == 1);
	CHECK(waits.ok && ready.ok);
	CHECK(!net_error(net));
	CHECK_INT(lost, 1);
	net_call_free(during.call);
	net_call_free(waits.call);
	net_call_free(ready.call);
	teardown();
}

TEST(another_helper_that_does_not_come)
{
	struct outcome waits = {0}, later = {0};
	unsigned lost = 0;

	setup();
	net_set_lost(net, on_lost, &lost);
	helper = bg_close(helper);
	SPIN(loop, net_error(net));
	net_expect(net);
	CHECK_INT(net_attach(net, 2, on_attach, &waits, &waits.call, NULL), 0);
	net_revive(net, -1);
	SPIN(loop, waits.completed == 1);
	CHECK(!waits.ok);
	CHECK_INT(lost, 2);
	CHECK_INT(net_attach(net, 3, on_attach, &later, &later.call, NULL), 0);
	SPIN(loop, later.completed == 1);
	net_call_free(waits.call);
	net_call_free(later.call);
	teardown();
}

TEST(answer_out_of_turn)
{
	struct outcome a = {0};
	struct priv_req req;

	setup();
	answer_hello();
	CHECK_INT(net_detach(net, 1, on_done, &a, &a.call, NULL), 0);
	req = next_request(PRIV_NET_DETACH);
	reply((struct priv_rep){
		.verb = PRIV_NET_DETACH, .id = req.id + 1, .net_detach = {.existed = 1}});
	check_dead(&a, BG_ERR_HELPER_MISSING);
}

TEST(malformed_answer)
{
	struct outcome a = {0};

	setup();
	answer_hello();
	CHECK_INT(net_detach(net, 1, on_done, &a, &a.call, NULL), 0);
	(void)next_request(PRIV_NET_DETACH);
	CHECK_INT(write(helper, "abc", 3), 3);
	check_dead(&a, BG_ERR_HELPER_MISSING);
}

TEST(no_helper_at_all)
{
	struct outcome ready = {0};

	CHECK_INT(loop_new(&loop), 0);
	CHECK_INT(net_new(loop, -1, "/nonexistent/helper", &net, NULL), 0);
	CHECK_INT(net_when_ready(net, on_done, &ready, &ready.call, NULL), 0);
	check_dead(&ready, BG_ERR_HELPER_MISSING);
}

TEST(net_may_go_first)
{
	struct outcome a = {0}, b = {0};

	setup();
	answer_hello();
	CHECK_INT(net_attach(net, 1, on_attach, &a, &a.call, NULL), 0);
	CHECK_INT(net_attach(net, 2, on_attach, &b, &b.call, NULL), 0);
	spin_turn(loop);
	net_call_free(b.call);
	net_free(net);
	net = NULL;
	spin_turn(loop);
	CHECK_INT(a.completed, 0);
	net_call_free(a.call);
	teardown();
}

TEST(many_calls_in_order)
{
	static struct outcome o[400];

	setup();
	answer_hello();
	for (size_t i = 0; i < ARRAY_SIZE(o); i++)
		CHECK_INT(net_attach(net, (unsigned)i % 64, on_attach, &o[i], &o[i].call, NULL), 0);
	for (size_t i = 0; i < ARRAY_SIZE(o); i++)
		answer_attach();
	SPIN(loop, o[ARRAY_SIZE(o) - 1].completed == 1);
	for (size_t i = 0; i < ARRAY_SIZE(o); i++) {
		CHECK_INT(o[i].card.slot, i % 64);
		net_call_free(o[i].call);
	}
	teardown();
}

TEST(fake)
{
	struct outcome a = {0}, b = {0}, c = {0};

	CHECK_INT(loop_new(&loop), 0);
	CHECK_INT(net_new_fake(loop, &net), 0);
	net_fake_fail(net, 2);
	CHECK_INT(net_attach(net, 1, on_attach, &a, &a.call, NULL), 0);
	CHECK_INT(net_attach(net, 2, on_attach, &b, &b.call, NULL), 0);
	CHECK_INT(net_when_ready(net, on_done, &c, &c.call, NULL), 0);
	SPIN(loop, a.completed == 1 && b.completed == 1 && c.completed == 1);
	CHECK(a.ok && !b.ok && c.ok);
	CHECK_INT(net_fake_attached(net), 1);
	net_call_free(a.call);
	net_call_free(b.call);
	net_call_free(c.call);
	teardown();
}
