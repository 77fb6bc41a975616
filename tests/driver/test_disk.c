/* SPDX-License-Identifier: ISC */
/* daemon/driver/disk.c against a disk helper played by this process. */
#include "daemon/driver/disk.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/priv_proto.h"
#include "tests/driver/spin.h"

struct outcome {
	struct disk_call *call;
	unsigned completed;
	bool ok;
	char node[64];
	enum bg_err_code code;
	char message[300];
};

static struct loop *loop;
static struct disk *disk;
static int helper = -1;
static char base[160], overlay[160];

static void setup(void)
{
	int pair[2];

	snprintf(base, sizeof(base), "%s/base", test_tmpdir());
	snprintf(overlay, sizeof(overlay), "%s/overlay", test_tmpdir());
	for (unsigned i = 0; i < 2; i++)
		close(open(i ? base : overlay, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	helper = pair[1];
	CHECK_INT(loop_new(&loop), 0);
	CHECK_INT(disk_new(loop, pair[0], test_tmpdir(), &disk, NULL), 0);
}

static void teardown(void)
{
	disk_free(disk);
	helper = bg_close(helper);
	loop_free(loop);
}

static void on_done(const char *node, struct bg_err *err, void *userdata)
{
	struct outcome *o = userdata;

	CHECK(!(node && err));
	o->completed++;
	o->ok = !err;
	o->code = err ? err->code : BG_ERR_MAX_;
	snprintf(o->node, sizeof(o->node), "%s", node ? node : "");
	snprintf(o->message, sizeof(o->message), "%s", err ? err->message : "");
}

static bool same_file(int fd, const char *path)
{
	struct stat a, b;

	return fstat(fd, &a) == 0 && stat(path, &b) == 0 && a.st_ino == b.st_ino &&
	       a.st_dev == b.st_dev;
}

/* What the helper is asked next; an attach is checked for its files. */
static struct priv_req next_request(enum priv_verb verb)
{
	struct priv_msg msg;
	struct priv_req req;

	SPIN(loop, spin_readable(helper));
	CHECK_INT(priv_msg_recv(helper, &msg), 0);
	CHECK_INT(priv_req_decode(&msg, &req), 0);
	CHECK_INT(req.verb, verb);
	if (verb == PRIV_DISK_ATTACH) {
		CHECK(same_file(req.fds[0], base) && same_file(req.fds[1], overlay));
		CHECK_INT(fcntl(req.fds[0], F_GETFL) & O_ACCMODE, O_RDONLY);
		CHECK_INT(fcntl(req.fds[1], F_GETFL) & O_ACCMODE, O_RDWR);
	}
	priv_msg_close(&msg);
	return req;
}

static void reply(struct priv_rep rep)
{
	struct priv_msg msg = {0};

	CHECK_INT(priv_rep_encode(&rep, &msg), 0);
	CHECK_INT(priv_msg_send(helper, &msg), 0);
}

static void answer_hello(uint32_t abilities)
{
	struct priv_req req = next_request(PRIV_HELLO);

	reply((struct priv_rep){.verb = PRIV_HELLO,
		.id = req.id,
		.hello = {.hash = priv_table_hash(),
			.slots = 16,
			.gateway = 0x0ad10001,
			.abilities = abilities}});
}

static void greet(void)
{
	struct priv_req req;

	answer_hello(PRIV_ABILITY_DISK);
	req = next_request(PRIV_LIST);
	reply((struct priv_rep){.verb = PRIV_LIST, .id = req.id, .list = {.attached = 0x11}});
	SPIN(loop, disk_ready(disk));
}

static void attach(struct outcome *o, unsigned slot)
{
	CHECK_INT(disk_attach(disk, slot, base, overlay, on_done, o, &o->call, NULL), 0);
}

TEST(calls_wait_for_hello)
{
	struct outcome known = {0}, a = {0};
	struct priv_req req;

	setup();
	CHECK_INT(disk_when_known(disk, on_done, &known, &known.call, NULL), 0);
	attach(&a, 7);
	spin_turn(loop);
	CHECK(known.completed == 0 && !disk_ready(disk));
	greet();
	SPIN(loop, known.completed == 1);
	CHECK(known.ok && !disk_error(disk));
	CHECK_INT(disk_held(disk), 0x11);
	req = next_request(PRIV_DISK_ATTACH);
	CHECK_INT(req.disk_attach.slot, 7);
	reply((struct priv_rep){.verb = PRIV_DISK_ATTACH,
		.id = req.id,
		.disk_attach = {.fresh = 1, .node = "1000-7"}});
	SPIN(loop, a.completed == 1);
	CHECK_STR(a.node, "/dev/banger/1000-7");
	disk_call_free(known.call);
	disk_call_free(a.call);
	teardown();
}

TEST(refusal_is_the_calls_own)
{
	struct outcome a = {0}, b = {0};
	struct priv_req req;

	setup();
	greet();
	attach(&a, 1);
	CHECK_INT(disk_detach(disk, 2, on_done, &b, &b.call, NULL), 0);
	req = next_request(PRIV_DISK_ATTACH);
	reply((struct priv_rep){.verb = PRIV_DISK_ATTACH, .id = req.id, .code = PRIV_CODE_OVERLAY});
	req = next_request(PRIV_DISK_DETACH);
	reply((struct priv_rep){
		.verb = PRIV_DISK_DETACH, .id = req.id, .disk_detach = {.existed = 1}});
	SPIN(loop, a.completed == 1 && b.completed == 1);
	CHECK(!a.ok && b.ok && !disk_error(disk));
	CHECK(strstr(a.message, "disk helper refused disk_attach"));
	disk_call_free(a.call);
	disk_call_free(b.call);
	teardown();
}

/* Its owner has gone: the helper is asked all the same, and the next call gets its own answer. */
TEST(forgotten_calls)
{
	struct outcome a = {0}, b = {0};
	struct priv_req req;

	setup();
	greet();
	CHECK_INT(disk_detach(disk, 1, on_done, &a, &a.call, NULL), 0);
	disk_call_free(a.call);
	attach(&b, 2);
	req = next_request(PRIV_DISK_DETACH);
	reply((struct priv_rep){.verb = PRIV_DISK_DETACH, .id = req.id});
	req = next_request(PRIV_DISK_ATTACH);
	reply((struct priv_rep){
		.verb = PRIV_DISK_ATTACH, .id = req.id, .disk_attach = {.node = "1000-2"}});
	SPIN(loop, b.completed == 1);
	CHECK(b.ok && a.completed == 0);
	disk_call_free(b.call);
	teardown();
}

TEST(end_of_the_helper_ends_every_call)
{
	struct outcome a = {0}, b = {0}, known = {0}, late = {0};

	setup();
	greet();
	attach(&a, 1);
	(void)next_request(PRIV_DISK_ATTACH);
	attach(&b, 2);
	helper = bg_close(helper);
	SPIN(loop, a.completed == 1 && b.completed == 1);
	CHECK(!a.ok && !b.ok && disk_error(disk) && !disk_ready(disk));
	attach(&late, 3);
	CHECK_INT(disk_when_known(disk, on_done, &known, &known.call, NULL), 0);
	CHECK_INT(late.completed, 0); /* never from within the call */
	SPIN(loop, late.completed == 1 && known.completed == 1);
	CHECK(!late.ok && known.ok);
	disk_call_free(a.call);
	disk_call_free(b.call);
	disk_call_free(late.call);
	disk_call_free(known.call);
	teardown();
}

static void on_lost(void *userdata)
{
	++*(unsigned *)userdata;
}

TEST(another_helper)
{
	struct outcome waits = {0};
	unsigned lost = 0;
	int pair[2];

	setup();
	disk_set_lost(disk, on_lost, &lost);
	greet();
	helper = bg_close(helper);
	SPIN(loop, disk_error(disk));
	CHECK_INT(lost, 1);
	CHECK(!disk_ready(disk));
	disk_expect(disk);
	CHECK_INT(disk_detach(disk, 2, on_done, &waits, &waits.call, NULL), 0);
	spin_turn(loop);
	CHECK_INT(waits.completed, 0);
	CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	helper = pair[1];
	disk_revive(disk, pair[0]);
	greet();
	SPIN(loop, disk_ready(disk));
	reply((struct priv_rep){.verb = PRIV_DISK_DETACH,
		.id = next_request(PRIV_DISK_DETACH).id,
		.disk_detach = {.existed = 1}});
	SPIN(loop, waits.completed == 1);
	CHECK(waits.ok && !disk_error(disk));
	disk_call_free(waits.call);
	teardown();
}

TEST(wrong_helpers)
{
	setup();
	answer_hello(PRIV_ABILITY_NET);
	SPIN(loop, disk_error(disk) != NULL);
	teardown();
	setup();
	(void)next_request(PRIV_HELLO);
	reply((struct priv_rep){.verb = PRIV_HELLO, .code = PRIV_CODE_NO_DM});
	SPIN(loop, disk_error(disk) != NULL);
	CHECK(strstr(disk_error(disk)->message, "device-mapper"));
	teardown();
	setup();
	CHECK_INT(send(helper, "garbage", 7, 0), 7);
	SPIN(loop, disk_error(disk) != NULL);
	teardown();
}

TEST(no_helper)
{
	CHECK_INT(loop_new(&loop), 0);
	CHECK_INT(disk_new(loop, -1, "/nonexistent/helper", &disk, NULL), 0);
	CHECK(disk_error(disk) && disk_error(disk)->code == BG_ERR_HELPER_MISSING);
	CHECK(strstr(disk_error(disk)->hint, "--disk"));
	teardown();
}

TEST(files_that_cannot_be_opened)
{
	_err_ struct bg_err *err = NULL;
	struct outcome a = {0};

	setup();
	greet();
	CHECK(disk_attach(disk, 0, "/nonexistent", overlay, on_done, &a, &a.call, &err) < 0);
	CHECK(err->code == BG_ERR_IO && strstr(err->message, "/nonexistent"));
	CHECK(!a.call);
	teardown();
}

/* Freed with calls in every state: what their owners hold, they free. */
TEST(freed_first)
{
	struct outcome a = {0}, b = {0};

	setup();
	greet();
	attach(&a, 1);
	(void)next_request(PRIV_DISK_ATTACH);
	CHECK_INT(disk_detach(disk, 2, on_done, &b, &b.call, NULL), 0);
	disk_call_free(b.call);
	disk_free(TAKE_PTR(disk));
	CHECK_INT(a.completed, 0);
	disk_call_free(a.call);
	teardown();
}
