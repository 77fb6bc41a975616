/* SPDX-License-Identifier: ISC */
/*
 * config.h: ~/.config/banger/config.toml, read once at start. The keys are the table in
 * config_keys.def; the syntax is the small part of TOML that config_toml.h names. An unknown
 * key or a wrong type is BG_ERR_CONFIG naming file and line.
 */
#ifndef BG_HOST_CONFIG_H
#define BG_HOST_CONFIG_H

#include <sys/stat.h>

#include "common/err.h"
#include "common/log.h"

enum config_vmm { CONFIG_VMM_AUTO, CONFIG_VMM_QEMU, CONFIG_VMM_FIRECRACKER };
enum config_storage {
	CONFIG_STORAGE_AUTO,
	CONFIG_STORAGE_REFLINK,
	CONFIG_STORAGE_COPY,
	CONFIG_STORAGE_DM,
	CONFIG_STORAGE_COW
};
enum config_debug { CONFIG_DEBUG_OFF, CONFIG_DEBUG_DUMPABLE };

/* Which file was read: another by now means that config.toml was changed. All zero: there was none. */
struct config_stamp {
	dev_t dev;
	ino_t ino;
	off_t size;
	struct timespec mtime;
};

struct config {
	struct config_stamp stamp; /* by config_load */
	enum log_level log_level;
	enum config_debug debug; /* dumpable: gdb, perf and core dumps of the engine */
	enum config_vmm vmm;
	enum config_storage storage;
	char *firecracker_bin;	     /* "firecracker": from PATH, or absolute */
	char *qemu_bin;		     /* "qemu-system-x86_64" */
	char *ssh_key_path;	     /* NULL: banger's own key */
	char *default_image_name;    /* "default" */
	unsigned default_cpus;	     /* 2 */
	bool default_nat;	     /* true */
	bool balloon;		     /* what guests free goes back to the host; true */
	uint64_t default_memory_mib; /* 1024; written as "1G" or a number of MiB */
	uint64_t default_disk_mib;   /* 8G */
	uint64_t default_work_mib;   /* 8G */
	uint64_t disk_reserve_mib;   /* VMs are paused before less is free */
	char *dns;		     /* "system", an address, or "" for no name server */
	unsigned tap_pool;	     /* taps kept ready */
	uint64_t layer_cache_mib;    /* kept of pulled container images */
	char *insecure_registries;   /* hosts separated by blanks or commas */
	char *web;		     /* "127.0.0.1:7777", or "" for no page */
	char *web_folders;	     /* absolute, with : between; "" for none */
	char *catalogs;		     /* URLs with a space between; "" for none */
	unsigned boot_timeout_s;     /* VMM start to guest ready */
	unsigned boots_at_once;	     /* 0: what the host's processors are good for */
};

/* text as if read from path, which only names it in errors. The environment is left aside. */
int config_parse(
	const char *path, const char *text, size_t len, struct config **ret, struct bg_err **err);
/* A missing file gives the defaults; BANGER_LOG_LEVEL in the environment wins over log_level. */
int config_load(const char *path, struct config **ret, struct bg_err **err);
/* Was the file at path changed, made or removed since? */
bool config_changed(const struct config *config, const char *path);
void config_free(struct config *config);
BG_DEFINE_UNREF(config, struct config *, config_free)

#endif
