/* SPDX-License-Identifier: ISC */
/*
 * monitor_client.c: Answers of the monitor find their request by id; its end is the engine's end.
 */
#include "daemon/monitor_client.h"

#include <assert.h>
#include <stdio.h>
#include <sys/queue.h>

#include "common/log.h"
#include "common/program.h"
#include "daemon/boot.h"

struct bootstrap {
	struct monitor_client *client;
	uint32_t id;
	bool ended;
	bootstrap_done_fn done;
	void *userdata;
	LIST_ENTRY(bootstrap) link;
};

struct monitor_client {
	struct loop *loop;
	int sock;
	struct loop_source *source, *beat;
	const struct monitor_events *events;
	void *userdata;
	uint32_t last_id;
	struct {
		helper_started_fn done; /* NULL: none is asked for */
		void *userdata;
	} helpers[MONITOR_HELPER_MAX_];
	LIST_HEAD(, bootstrap) list;
};

static void lost(struct monitor_client *client)
{
	loop_source_free(TAKE_PTR(client->source));
	loop_source_free(TAKE_PTR(client->beat));
	client->events->gone(client->userdata);
}

/* An id that is not in the list was freed meanwhile. */
static void on_exited(struct monitor_client *client, const struct monitor_msg *msg)
{
	struct bootstrap *b;

	LIST_FOREACH (b, &client->list, link) {
		if (b->id != msg->id || b->ended)
			continue;
		b->ended = true;
		b->done(msg->status, b->userdata);
		return;
	}
}

static bool on_helper(struct monitor_client *client, struct monitor_packet *packet)
{
	unsigned which = packet->msg.id;
	helper_started_fn done = client->helpers[which].done;

	if (!done)
		return false;
	client->helpers[which].done = NULL;
	done(packet->n_fds ? TAKE_FD(packet->fds[0]) : -1, client->helpers[which].userdata);
	return true;
}

/* false: a verb that only goes the other way, or an answer to nothing. */
static bool on_packet(struct monitor_client *client, struct monitor_packet *packet)
{
	switch ((enum monitor_verb)packet->msg.verb) {
	case MONITOR_EXITED:
		on_exited(client, &packet->msg);
		return true;
	case MONITOR_HELPER:
		return on_helper(client, packet);
	case MONITOR_LISTEN:
		client->events->listen(TAKE_FD(packet->fds[0]), client->userdata);
		return true;
	case MONITOR_STOP:
		client->events->stop((enum monitor_stop)packet->msg.id, client->userdata);
		return true;
	case MONITOR_READY:
	case MONITOR_BOOTSTRAP:
	case MONITOR_CANCEL:
	case MONITOR_WANT_HELPER:
	case MONITOR_ALIVE:
	case MONITOR_FAILED:
		break;
	}
	return false;
}

static void on_sock(int fd, unsigned events, void *userdata)
{
	static struct monitor_packet packet;
	struct monitor_client *client = userdata;
	int r;

	r = monitor_recv(fd, &packet);
	if (r == -EAGAIN || (r >= 0 && on_packet(client, &packet)))
		return;
	if (r >= 0)
		monitor_packet_done(&packet);
	log_msg(LOG_ERROR, "engine", "the monitor is gone", NULL);
	lost(client);
}

int monitor_client_new(struct loop *loop, int sock, const struct monitor_events *events,
	void *userdata, struct monitor_client **ret, struct bg_err **err)
{
	struct monitor_client *client = calloc(1, sizeof(*client));
	int r = client ? 0 : -ENOMEM;

	if (client) {
		client->loop = loop;
		client->sock = sock;
		client->events = events;
		client->userdata = userdata;
		LIST_INIT(&client->list);
		r = loop_add_fd(loop, "monitor", sock, LOOP_READ, on_sock, client, &client->source);
	}
	if (r < 0) {
		free(client);
		bg_close(sock);
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "watch the monitor");
	}
	*ret = client;
	return 0;
}

void monitor_client_free(struct monitor_client *client)
{
	if (!client)
		return;
	assert(LIST_EMPTY(&client->list));
	loop_source_free(client->source);
	loop_source_free(client->beat);
	bg_close(client->sock);
	free(client);
}

static void on_beat(void *userdata);

/* Together with what else wakes at that interval. */
static int next_beat(struct monitor_client *client)
{
	loop_source_free(TAKE_PTR(client->beat));
	return loop_add_timer(client->loop, "monitor beat",
		loop_until_multiple(loop_now_usec(), MONITOR_BEAT_S * 1000000ULL), on_beat, client,
		&client->beat);
}

static void on_beat(void *userdata)
{
	struct monitor_client *client = userdata;
	struct monitor_msg msg = {.verb = MONITOR_ALIVE};

	(void)monitor_send(client->sock, &msg, NULL, NULL, 0);
	if (next_beat(client) < 0)
		log_msg(LOG_ERROR, "engine", "out of memory: the monitor will think that we hang",
			NULL);
}

int monitor_client_ready(struct monitor_client *client)
{
	struct monitor_msg msg = {.verb = MONITOR_READY};
	int r = next_beat(client);

	return r < 0 ? r : monitor_send(client->sock, &msg, NULL, NULL, 0);
}

void monitor_say_failed(int sock, const struct bg_err *why)
{
	_free_ char *text = boot_error_text(why);
	struct monitor_msg msg = {.verb = MONITOR_FAILED, .status = bg_err_code_http(why->code)};

	if (!text || strlen(text) > MONITOR_PAYLOAD_MAX)
		return; /* its exit status says the rest */
	msg.length = (uint32_t)strlen(text);
	(void)monitor_send(sock, &msg, text, NULL, 0);
}

int monitor_helper_start(struct monitor_client *client, enum monitor_helper which,
	helper_started_fn done, void *userdata)
{
	struct monitor_msg msg = {.verb = MONITOR_WANT_HELPER, .id = which};
	int r;

	assert(!client->helpers[which].done);
	r = monitor_send(client->sock, &msg, NULL, NULL, 0);
	if (r < 0)
		return r;
	client->helpers[which].done = done;
	client->helpers[which].userdata = userdata;
	return 0;
}

static int check_spec(const struct bootstrap_spec *spec, struct bg_err **err)
{
	if (!bootstrap_suite_valid(spec->suite))
		return bg_err_set(err, BG_ERR_IMAGE_INVALID, EINVAL,
			"\"%.80s\" is not a Debian suite", spec->suite);
	if (spec->mirror && !bootstrap_mirror_valid(spec->mirror))
		return bg_err_set(err, BG_ERR_IMAGE_INVALID, EINVAL,
			"\"%.200s\" is not an http(s) mirror URL", spec->mirror);
	if (spec->n_packages > MONITOR_PACKAGES_MAX)
		return bg_err_set(err, BG_ERR_IMAGE_INVALID, EINVAL, "%u packages are more than %d",
			spec->n_packages, MONITOR_PACKAGES_MAX);
	for (unsigned i = 0; i < spec->n_packages; i++)
		if (!bootstrap_package_valid(spec->packages[i]))
			return bg_err_set(err, BG_ERR_IMAGE_INVALID, EINVAL,
				"\"%.120s\" is not a Debian package name", spec->packages[i]);
	return 0;
}

static int check_tools(struct bg_err **err)
{
	static const struct {
		const char *program, *package;
	} tools[] = {{"mmdebstrap", "mmdebstrap"}, {"newuidmap", "uidmap"}};

	for (size_t i = 0; i < ARRAY_SIZE(tools); i++) {
		_free_ char *path = NULL;
		int r;

		if (bg_program_find(tools[i].program, &path) >= 0)
			continue;
		r = bg_err_set(err, BG_ERR_TOOL_MISSING, ENOENT,
			"%s is not in PATH: images are built with it", tools[i].program);
		bg_err_hint(err, "`sudo apt install %s`", tools[i].package);
		return r;
	}
	return 0;
}

static char *make_payload(const struct bootstrap_spec *spec, size_t *ret_len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, ret_len);

	if (!f)
		return NULL;
	fprintf(f, "%s%c%s%c%s%c", spec->suite, 0, spec->mirror ? spec->mirror : "", 0,
		spec->minimal ? BOOTSTRAP_MINIMAL : BOOTSTRAP_FULL, 0);
	for (unsigned i = 0; i < spec->n_packages; i++)
		fprintf(f, "%s%c", spec->packages[i], 0);
	return fclose(f) == 0 ? text : NULL;
}

static int send_request(struct monitor_client *client, const struct bootstrap_spec *spec,
	uint32_t id, struct bg_err **err)
{
	const int fds[] = {spec->out_fd, spec->log_fd};
	_free_ char *payload = NULL;
	size_t len = 0;
	struct monitor_msg msg = {.verb = MONITOR_BOOTSTRAP, .id = id};
	int r;

	payload = make_payload(spec, &len);
	if (!payload)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	if (len > MONITOR_PAYLOAD_MAX)
		return bg_err_set(
			err, BG_ERR_IMAGE_INVALID, E2BIG, "the list of packages is too long");
	msg.length = (uint32_t)len;
	r = monitor_send(client->sock, &msg, payload, fds, 2);
	return r < 0 ? bg_err_sys(err, BG_ERR_INTERNAL, -r, "ask the monitor") : 0;
}

int monitor_bootstrap_start(struct monitor_client *client, const struct bootstrap_spec *spec,
	bootstrap_done_fn done, void *userdata, struct bootstrap **ret, struct bg_err **err)
{
	_free_ struct bootstrap *b = NULL;
	int r;

	r = check_spec(spec, err);
	if (r >= 0)
		r = check_tools(err);
	if (r < 0)
		return r;
	b = calloc(1, sizeof(*b));
	if (!b)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	b->client = client;
	b->id = ++client->last_id;
	b->done = done;
	b->userdata = userdata;
	r = send_request(client, spec, b->id, err);
	if (r < 0)
		return r;
	LIST_INSERT_HEAD(&client->list, b, link);
	*ret = TAKE_PTR(b);
	return 0;
}

void bootstrap_free(struct bootstrap *b)
{
	struct monitor_msg msg = {.verb = MONITOR_CANCEL};

	if (!b)
		return;
	msg.id = b->id;
	if (!b->ended)
		(void)monitor_send(b->client->sock, &msg, NULL, NULL, 0);
	LIST_REMOVE(b, link);
	free(b);
}
