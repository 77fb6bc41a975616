/* SPDX-License-Identifier: ISC */
/*
 * init.c: banger-init, PID 1 of the guest's initramfs. Brings the image's root up as
 * the settings say (common/guest_conf.h), leaves the agent behind and becomes the image's
 * init, or stays as the init of an image that has none. It owns nothing on the host.
 * It must never hang in silence: what cannot be done is said on the console, and
 * without it there is no guest the machine goes down, which the host sees.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>

#include "common/fd.h"
#include "common/guest_conf.h"
#include "guest/agent.h"
#include "guest/conf.h"
#include "guest/cow.h"
#include "guest/identity.h"
#include "guest/log.h"
#include "guest/modules.h"
#include "guest/mounts.h"
#include "guest/net.h"
#include "guest/plain_init.h"
#include "guest/quiet.h"
#include "guest/shutdown.h"
#include "guest/watch.h"

enum { DISK_TIMEOUT_MS = 20000 };

#define NEW_ROOT "/newroot"

static struct boot {
	struct conf conf;
	struct identity_keys keys;
	int events; /* new devices */
	uint32_t flags;
	struct plain_init plain;
	struct agent_setup setup;
} boot;

static int stage_mounts(struct boot *b, struct bg_err **err)
{
	int r = mounts_early(err);

	log_open();
	quiet_kernel();
	b->events = mounts_watch_devices();
	return r;
}

static int stage_settings(struct boot *b, struct bg_err **err)
{
	_free_ char *text = NULL;
	size_t len = 0;
	int r = bg_read_file_at(AT_FDCWD, BG_GUEST_CONF, BG_GUEST_CONF_MAX, &text, &len);

	if (r < 0)
		return bg_err_sys(err, BG_ERR_CONFIG, -r, "read %s", BG_GUEST_CONF);
	r = conf_parse(text, len, &b->conf, err);
	if (r < 0)
		return r;
	r = identity_hostname(&b->conf);
	if (r < 0)
		log_line("host name: %s", strerror(-r));
	return identity_read_keys(&b->keys, err);
}

static int stage_clock(struct boot *b, struct bg_err **err)
{
	const struct timespec ts = {.tv_sec = (time_t)b->conf.time};

	if (time(NULL) >= ts.tv_sec)
		return 0;
	if (clock_settime(CLOCK_REALTIME, &ts) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "set the clock");
	return 0;
}

static int stage_modules(struct boot *b, struct bg_err **err)
{
	unsigned count = 0, more = 0;
	int r = bg_isempty(b->conf.base) ? 0 : modules_load(BG_GUEST_MODULES_DM, &more, err);

	if (r >= 0)
		r = modules_load(BG_GUEST_MODULES, &count, err);
	if (count + more)
		log_line("%u modules", count + more);
	return r;
}

/* The two disks that the root is joined of become the one that the settings do not name. */
static int join_root(struct boot *b, struct bg_err **err)
{
	bool repaired = false;
	int r = mounts_wait_device(b->events, b->conf.base, DISK_TIMEOUT_MS, err);

	if (r >= 0)
		r = mounts_wait_device(b->events, b->conf.own, DISK_TIMEOUT_MS, err);
	if (r >= 0)
		r = cow_join(&b->conf, b->conf.root, &repaired, err);
	if (r < 0)
		return r;
	if (repaired)
		b->flags |= BG_AGENT_F_COW_REPAIRED;
	log_line("%s is %s and %s", b->conf.root, b->conf.base, b->conf.own);
	return 0;
}

static int stage_root(struct boot *b, struct bg_err **err)
{
	int r = bg_isempty(b->conf.base) ? 0 : join_root(b, err);

	if (r == 0)
		r = mounts_wait_device(b->events, b->conf.root, DISK_TIMEOUT_MS, err);
	if (r == 0)
		r = mounts_disk(b->conf.root, NEW_ROOT, err);
	if (r == 0)
		log_line("root is %s", b->conf.root);
	return r;
}

static int stage_net(struct boot *b, struct bg_err **err)
{
	int r = net_up(&b->conf, err);

	if (r == 0 && b->conf.addr.s_addr) {
		b->flags |= BG_AGENT_F_NET;
		log_line("eth0 is up");
	}
	return r;
}

static int stage_switch(struct boot *b, struct bg_err **err)
{
	return mounts_switch_root(NEW_ROOT, err);
}

static int stage_work(struct boot *b, struct bg_err **err)
{
	int r;

	if (bg_isempty(b->conf.work))
		return 0;
	r = mounts_wait_device(b->events, b->conf.work, DISK_TIMEOUT_MS, err);
	if (r == 0)
		r = mounts_disk(b->conf.work, "/root", err);
	if (r == 0)
		log_line("work disk is %s", b->conf.work);
	return r;
}

static int stage_module_tree(struct boot *b, struct bg_err **err)
{
	bool shown = false;
	struct utsname u;
	int r;

	if (bg_isempty(b->conf.modules) || uname(&u) < 0)
		return 0;
	r = mounts_wait_device(b->events, b->conf.modules, DISK_TIMEOUT_MS, err);
	if (r == 0)
		r = mounts_module_tree(b->conf.modules, u.release, &shown, err);
	if (shown)
		log_line("modules of %s from %s", u.release, b->conf.modules);
	return r;
}

static int stage_identity(struct boot *b, struct bg_err **err)
{
	int r = identity_write(&b->conf, &b->keys, err);

	identity_free_keys(&b->keys);
	return r;
}

/* Only with a network that packages can come over, and only when something is missing. */
static void plan_setup(struct boot *b)
{
	struct plain_init *p = &b->plain;
	bool missing = !p->sshd || (p->wish == SETUP_INIT && !p->init);
	int fds[2];

	if (p->wish == SETUP_NOTHING || !missing || !(b->flags & BG_AGENT_F_NET))
		return;
	p->family = setup_of_image();
	if (p->family && pipe2(fds, O_CLOEXEC) < 0)
		p->family = NULL;
	if (!p->family) {
		log_line("no package manager here that could bring in what is missing");
		b->flags |= BG_AGENT_F_NO_MANAGER;
		return;
	}
	b->setup.setup = fds[0];
	p->setup = fds[1];
	b->flags |= BG_AGENT_F_SETUP;
}

static int stage_agent(struct boot *b, struct bg_err **err)
{
	struct plain_init *p = &b->plain;
	int r;

	*p = (struct plain_init){.init = setup_find_init(),
		.sshd = watch_find_sshd(),
		.wish = b->conf.setup,
		.setup = -1};
	b->setup.setup = -1;
	plan_setup(b);
	b->flags |= BG_AGENT_F_ROOT | (p->sshd || p->family ? 0 : BG_AGENT_F_NO_SSHD);
	b->setup.conf = &b->conf;
	b->setup.flags = b->flags;
	b->setup.sshd = p->sshd;
	b->setup.events = b->events;
	if (!p->init || p->family)
		mounts_no_init();
	r = agent_start(&b->setup, p->setup);
	b->setup.setup = bg_close(b->setup.setup);
	return r < 0 ? bg_err_sys(err, BG_ERR_IO, -r, "fork") : 0;
}

/* In this order. A guest without a stage that is not a must is still worth having. */
static const struct stage {
	const char *name;
	bool must;
	int (*run)(struct boot *, struct bg_err **);
} stages[] = {
	{"mounts", true, stage_mounts},
	{"settings", true, stage_settings},
	{"clock", false, stage_clock},
	{"modules", false, stage_modules},
	{"root", true, stage_root},
	{"network", false, stage_net},
	{"switch", true, stage_switch},
	{"work disk", true, stage_work},
	{"module tree", false, stage_module_tree},
	{"identity", false, stage_identity},
	{"agent", true, stage_agent},
};

static _noreturn_ void give_up(const char *stage, const struct bg_err *err)
{
	log_line("fatal: %s: %s", stage, err->message);
	mounts_end();
	log_drain();
	(void)reboot(boot.conf.reset ? RB_AUTOBOOT : RB_POWER_OFF);
	for (;;)
		(void)pause();
}

static void run_stages(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(stages); i++) {
		_err_ struct bg_err *err = NULL;

		if (stages[i].run(&boot, &err) == 0)
			continue;
		if (stages[i].must)
			give_up(stages[i].name, err);
		log_line("%s: %s", stages[i].name, err->message);
	}
}

static _noreturn_ void become_init(void)
{
	char *env[] = {(char[]){"HOME=/"}, (char[]){"TERM=linux"},
		(char[]){"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		NULL};
	_err_ struct bg_err *err = NULL;
	char path[64];

	(void)bg_close(boot.events);
	if (!boot.plain.init)
		log_line("no init in the image: staying");
	if (!boot.plain.init || boot.plain.family)
		boot.plain.init = plain_init_run(&boot.plain);
	log_line("starting %s", boot.plain.init);
	(void)snprintf(path, sizeof(path), "%s", boot.plain.init);
	(void)execve(path, (char *[]){path, NULL}, env);
	(void)bg_err_sys(&err, BG_ERR_IO, errno, "exec %s", path);
	give_up("init", err);
}

int main(int argc, char **argv)
{
	if (getpid() != 1) {
		(void)dprintf(
			STDERR_FILENO, "banger-init " BG_VERSION ": runs as PID 1 of a guest\n");
		return 2;
	}
	(void)umask(022);
	/* shutdown.c knows PID 1 by this name until the image's init has taken over. */
	(void)prctl(PR_SET_NAME, "banger-init");
	boot.setup.argv = argv;
	run_stages();
	become_init();
}
