/* SPDX-License-Identifier: ISC */
/* Image builds with a monitor that is this test: how many at once, what ends one that hangs, what the error is then. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/json.h"
#include "daemon/monitor_client.h"
#include "tests/fsm/world.h"
#include "tests/lib/test.h"

enum { BUILDS = 5 };

static struct world w;
static int monitor = -1; /* its end of the socket */
static struct loop_source *io;
static struct {
	uint32_t id;
	int fds[2]; /* where the tar goes, the log */
} asked[BUILDS];
static unsigned n_asked, n_cancelled;

static void on_monitor_gone(void *userdata)
{
	test_fail(__FILE__, __LINE__, "the engine broke with its monitor");
}

static void on_monitor_stop(enum monitor_stop why, void *userdata)
{
}

static void on_monitor_listen(int fd, void *userdata)
{
	bg_close(fd);
}

static const struct monitor_events monitor_events = {
	.gone = on_monitor_gone, .stop = on_monitor_stop, .listen = on_monitor_listen};

static void on_packet(int fd, unsigned events, void *userdata)
{
	static struct monitor_packet packet;

	CHECK_INT(monitor_recv(fd, &packet), 0);
	if (packet.msg.verb == MONITOR_CANCEL)
		n_cancelled++;
	if (packet.msg.verb != MONITOR_BOOTSTRAP)
		return;
	CHECK(n_asked < BUILDS && packet.n_fds == 2);
	asked[n_asked].id = packet.msg.id;
	memcpy(asked[n_asked].fds, packet.fds, sizeof(packet.fds));
	n_asked++;
}

static void exited(unsigned i, int status)
{
	const struct monitor_msg msg = {
		.verb = MONITOR_EXITED, .id = asked[i].id, .status = status};

	for (int k = 0; k < 2; k++)
		asked[i].fds[k] = bg_close(asked[i].fds[k]);
	CHECK_INT(monitor_send(monitor, &msg, NULL, NULL, 0), 0);
}

static void put_program(const char *name)
{
	_free_ char *path = NULL;

	CHECK(asprintf(&path, "%s/%s", test_tmpdir(), name) > 0);
	CHECK_INT(bg_write_file_at(AT_FDCWD, path, "#!/bin/sh\n", 10, 0700), 0);
}

static void open_with_monitor(void)
{
	int pair[2];

	world_open(&w, NULL);
	put_program("mmdebstrap");
	put_program("newuidmap");
	CHECK_INT(setenv("PATH", test_tmpdir(), 1), 0);
	CHECK_INT(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair), 0);
	monitor = pair[0];
	CHECK_INT(monitor_client_new(
			  w.engine.loop, pair[1], &monitor_events, NULL, &w.engine.monitor, NULL),
		0);
	CHECK_INT(
		loop_add_fd(w.engine.loop, "monitor", monitor, LOOP_READ, on_packet, NULL, &io), 0);
}

static struct op *build(const char *name)
{
	struct image_build_request request = {.name = name, .kernel = "k", .size_mib = 64};
	_err_ struct bg_err *err = NULL;
	struct op *op = NULL;

	CHECK_INT(image_build(&w.engine, &request, &op, &err), 0);
	return op;
}

static bool have_asked(struct world *world, void *userdata)
{
	return n_asked == *(const unsigned *)userdata;
}

static bool was_cancelled(struct world *world, void *userdata)
{
	return n_cancelled == 1;
}

static const char *text_of(const struct op *op)
{
	static char text[128];
	_json_ json_t *record = op_to_json(op);
	const json_t *stages = json_object_get(record, "stages");
	const char *at = json_string_value(
		json_object_get(json_array_get(stages, json_array_size(stages) - 1), "text"));

	snprintf(text, sizeof(text), "%s", at ? at : "");
	return text;
}

static bool waits_for_builds(struct world *world, void *userdata)
{
	return bg_streq(text_of(userdata), "waiting for other builds");
}

static void end_all(struct op *const ops[BUILDS])
{
	for (unsigned i = 0; i < BUILDS; i++)
		(void)op_cancel(ops[i]);
	for (unsigned i = 0; i < BUILDS; i++)
		(void)world_wait(&w, ops[i]);
}

TEST(the_fifth_build_waits_for_its_turn)
{
	static const char *const names[BUILDS] = {"a", "b", "c", "d", "e"};
	struct op *ops[BUILDS];

	open_with_monitor();
	for (unsigned i = 0; i < BUILDS; i++)
		ops[i] = build(names[i]);
	world_run(&w, waits_for_builds, ops[BUILDS - 1]);
	world_run(&w, have_asked, &(unsigned){BG_BUILDS_MAX});
	exited(0, 1 << 8);
	CHECK_INT(world_wait(&w, ops[0]), OP_FAILED);
	CHECK_STR(world_last_code(), "image.build_failed");
	world_run(&w, have_asked, &(unsigned){BG_BUILDS_MAX + 1});
	/* one that waits is cancelled in its place */
	CHECK_INT(op_cancel(ops[BUILDS - 1]), 0);
	CHECK_INT(world_wait(&w, ops[BUILDS - 1]), OP_CANCELLED);
	exited(1, 1 << 8);
	CHECK_INT(world_wait(&w, ops[1]), OP_FAILED);
	CHECK_INT(n_asked, BG_BUILDS_MAX + 1);
	end_all(ops);
	CHECK(!images_find(w.engine.images, "a") && !images_find(w.engine.images, "e"));
}

/* mmdebstrap hangs: the worker's error is not lost, and the build does not hang with it. */
TEST(a_broken_stream_ends_a_build_that_hangs)
{
	struct op *op;

	open_with_monitor();
	op = build("a");
	world_run(&w, have_asked, &(unsigned){1});
	CHECK_INT(bg_write_all(asked[0].fds[0], "this is not a tar", 17), 0);
	asked[0].fds[0] = bg_close(asked[0].fds[0]);
	CHECK_INT(world_wait(&w, op), OP_FAILED);
	CHECK(*world_last_code() && !bg_streq(world_last_code(), "image.build_failed"));
	CHECK(!images_find(w.engine.images, "a"));
	world_run(&w, was_cancelled, NULL);
}
