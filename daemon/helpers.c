/* SPDX-License-Identifier: ISC */
/* helpers.c: One small machine for each helper: asked for, begun, lost, waiting to ask again. */
#include "daemon/helpers.h"

#include "common/log.h"
#include "daemon/engine.h"
#include "daemon/priv/priv_client.h"
#include "daemon/vm/vm_dns.h"

#define PAUSE_MIN_USEC	100000ULL
#define PAUSE_MAX_USEC	60000000ULL
#define LIVED_WELL_USEC 5000000ULL /* then the next pause is the shortest again */
#define HURRY_USEC	1000000ULL /* between two that somebody is in need of */

/* What differs between the two. */
struct kind {
	const char *name;
	enum monitor_helper which;
	const char *(*path)(void);
	const struct bg_err *(*error)(const struct engine *engine);
	void (*expect)(const struct engine *engine);
	void (*revive)(struct engine *engine, int sock);
};

struct care {
	struct engine *engine;
	const struct kind *kind;
	struct loop_source *timer;
	bool asked;
	uint64_t asked_usec, started_usec, pause_usec;
};

struct helpers {
	struct care net, disk;
};

static const struct bg_err *net_why(const struct engine *engine)
{
	return net_error(engine->net);
}

static const struct bg_err *disk_why(const struct engine *engine)
{
	return disk_error(engine->disk);
}

static void net_expected(const struct engine *engine)
{
	net_expect(engine->net);
}

static void disk_expected(const struct engine *engine)
{
	disk_expect(engine->disk);
}

static void net_begin(struct engine *engine, int sock)
{
	net_revive(engine->net, sock);
	vms_watch_net(engine);
	vm_dns_start(engine);
}

static void disk_begin(struct engine *engine, int sock)
{
	disk_revive(engine->disk, sock);
	(void)vms_watch_disks(engine, NULL);
}

static const struct kind net_kind = {
	"network", MONITOR_HELPER_NET, priv_helper_path, net_why, net_expected, net_begin};
static const struct kind disk_kind = {
	"disk", MONITOR_HELPER_DISK, priv_disk_helper_path, disk_why, disk_expected, disk_begin};

static void on_sock(int sock, void *userdata)
{
	struct care *care = userdata;

	care->asked = false;
	care->started_usec = loop_now_usec();
	log_msg(sock < 0 ? LOG_DEBUG : LOG_INFO, "engine",
		sock < 0 ? "a helper cannot be started again" : "a helper was started again",
		"helper", care->kind->name, NULL);
	care->kind->revive(care->engine, sock);
}

/* A file that is not there is no reason to wake the monitor. */
static bool installed(const struct care *care)
{
	return access(care->kind->path(), F_OK) == 0 || errno != ENOENT;
}

static void ask(struct care *care)
{
	loop_source_free(TAKE_PTR(care->timer));
	care->asked_usec = loop_now_usec();
	if (monitor_helper_start(care->engine->monitor, care->kind->which, on_sock, care) < 0)
		return;
	care->asked = true;
	care->kind->expect(care->engine);
}

static void wait_and_ask(struct care *care);

static void on_timer(void *userdata)
{
	struct care *care = userdata;

	if (!care->kind->error(care->engine) || care->engine->stopping)
		return;
	if (installed(care))
		ask(care);
	else
		wait_and_ask(care);
}

static void wait_and_ask(struct care *care)
{
	loop_source_free(TAKE_PTR(care->timer));
	(void)loop_add_timer(
		care->engine->loop, "helper pause", care->pause_usec, on_timer, care, &care->timer);
	care->pause_usec = BG_MIN(care->pause_usec * 2, PAUSE_MAX_USEC);
}

static void on_lost(void *userdata)
{
	struct care *care = userdata;

	if (care->asked)
		return; /* it is expected already */
	if (loop_now_usec() - care->started_usec > LIVED_WELL_USEC)
		care->pause_usec = PAUSE_MIN_USEC;
	wait_and_ask(care);
}

static void begin(struct care *care, struct engine *engine, const struct kind *kind)
{
	*care = (struct care){.engine = engine,
		.kind = kind,
		.started_usec = loop_now_usec(),
		.pause_usec = PAUSE_MIN_USEC};
	if (kind->error(engine))
		wait_and_ask(care);
}

int helpers_new(struct engine *engine, struct helpers **ret)
{
	struct helpers *h = calloc(1, sizeof(*h));

	if (!h)
		return -ENOMEM;
	begin(&h->net, engine, &net_kind);
	begin(&h->disk, engine, &disk_kind);
	net_set_lost(engine->net, on_lost, &h->net);
	disk_set_lost(engine->disk, on_lost, &h->disk);
	*ret = h;
	return 0;
}

void helpers_free(struct helpers *h)
{
	if (!h)
		return;
	net_set_lost(h->net.engine->net, NULL, NULL);
	disk_set_lost(h->disk.engine->disk, NULL, NULL);
	loop_source_free(h->net.timer);
	loop_source_free(h->disk.timer);
	free(h);
}

static void hurry(struct care *care)
{
	if (care->kind->error(care->engine) && !care->asked && installed(care) &&
		loop_now_usec() - care->asked_usec > HURRY_USEC)
		ask(care);
}

void helpers_hurry(struct helpers *h)
{
	if (!h)
		return;
	hurry(&h->net);
	hurry(&h->disk);
}
