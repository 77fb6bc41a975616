/* SPDX-License-Identifier: ISC */
/*
 * engine.h: the engine's parts, made once by engine_run and handed to whoever needs them. The
 * engine is one process, one loop: no locks, and nothing in here is global.
 */
#ifndef BG_DAEMON_ENGINE_H
#define BG_DAEMON_ENGINE_H

#include "common/paths.h"
#include "daemon/asset/image.h"
#include "daemon/asset/kernel.h"
#include "daemon/driver/disk.h"
#include "daemon/driver/net.h"
#include "daemon/driver/storage.h"
#include "daemon/driver/vmm.h"
#include "daemon/event.h"
#include "daemon/exec_relay.h"
#include "daemon/http/http.h"
#include "daemon/job/job.h"
#include "daemon/loop/loop.h"
#include "daemon/monitor_client.h"
#include "daemon/op/op.h"
#include "daemon/store/store.h"
#include "daemon/vm/keys.h"
#include "daemon/vm/space.h"
#include "daemon/vm/vm.h"
#include "host/config.h"

struct asset_users;
struct blobs;
struct boot_gate;
struct console;
struct dns;
struct health;
struct helpers;
struct tap_pool;
struct trash;
struct web;

struct engine {
	struct loop *loop;
	const struct bg_paths *paths;
	const struct config *config;
	struct store *store;
	struct http *http;
	struct events *events;
	struct web *web; /* NULL: turned off */
	struct ops *ops;
	struct jobs *jobs;
	struct monitor_client *monitor;
	struct net *net;
	struct net_call *net_boot; /* waits for the helper's HELLO after the start */
	struct disk *disk;
	struct disk_call *disk_boot; /* the same for the disk helper */
	struct net_call *dns_call;   /* waits for the helper, then for its redirect */
	struct dns *dns;	     /* NULL: none, or not yet */
	struct bg_err *dns_err;	     /* why there is none */
	struct vmm_probe *probe;
	char *scope_socket;    /* of the user's systemd, for VMMs' scopes; NULL: there is none */
	const char *scope_why; /* static: why not */
	const struct storage_driver *storage;
	const char *storage_reason; /* static, or storage_err's */
	bool storage_known;	    /* the choice is made; before that a new VM waits for it */
	struct bg_err *storage_err; /* config wants what this host has not: nothing is created */
	struct space *space;
	struct console *console;
	struct health *health;
	const char *init_path;	   /* banger-init, absolute */
	const char *launcher_path; /* banger-launch, absolute */
	const char *helper_path;
	pid_t monitor_pid;
	int64_t started_at;
	struct keys *keys;
	struct kernels *kernels;
	struct images *images;
	struct blobs *blobs;
	struct vms *vms;
	const struct asset_users *asset_users; /* the VMs, once there are any to ask */
	struct exec_relay_list exec_relays;
	struct trash *trash;
	struct tap_pool *pool;
	struct boot_gate *boots;
	struct boot_gate *builds; /* of images, in the same way */
	struct helpers *helpers;
	bool stopping;
	/* ticks while VMs are shut down before the end; see farewell.h */
	struct loop_source *farewell;
	unsigned farewell_steps;
	struct loop_source *drain; /* ticks while replies under way are still written */
	unsigned drain_steps;
};

/* What main.c has for the engine. Everything is borrowed but the descriptors, which engine_run takes. */
struct engine_boot {
	const struct bg_paths *paths;
	const struct config *config;
	int listen_fd;	  /* for http_new */
	int monitor_sock; /* for monitor_client_new */
	int helper_sock;  /* for net_new; -1 when the monitor could not start the helper */
	int disk_sock;	  /* for disk_new; -1 when there is no disk helper */
	int worker_log;	  /* for jobs_new */
	pid_t monitor_pid;
	const char *helper_path; /* for priv_helper_check */
};

/*
 * Runs until SIGTERM, SIGINT, POST /v1/daemon/stop or the monitor's end. 0 after a clean stop. An error
 * before it served is returned, not reported: main does that.
 */
int engine_run(struct engine_boot *boot, struct bg_err **err);
/* A clean end, soon: VMs keep running. */
void engine_stop(struct engine *engine);

#endif
