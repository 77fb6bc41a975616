/* SPDX-License-Identifier: ISC */
/*
 * paths.h: where banger keeps things, by the XDG base directory rules. CLI and
 * daemon call the same code, so that they agree on the socket. Owns nothing but
 * the strings; bg_paths_init touches no file, bg_paths_create makes directories
 * and refuses those of another user. Must never follow a relative XDG value.
 */
#ifndef BG_COMMON_PATHS_H
#define BG_COMMON_PATHS_H

#include "common/err.h"

struct bg_paths {
	char *home;
	char *config_dir;  /* $XDG_CONFIG_HOME/banger or ~/.config/banger */
	char *config_file; /* config.toml in it */
	char *ssh_dir;	   /* ssh in it: key pair and known_hosts */
	char *state_dir;   /* $XDG_STATE_HOME/banger or ~/.local/state/banger */
	char *log_file;	   /* bangerd.log in it */
	char *worker_log;  /* worker.log in it: what workers print */
	char *lock_file;   /* bangerd.lock in it: one daemon for each state folder */
	char *cache_dir;   /* $XDG_CACHE_HOME/banger or ~/.cache/banger */
	char *run_dir;	   /* run in state_dir: it stays at a logout, $XDG_RUNTIME_DIR does not */
	char *socket;	   /* bangerd.sock in run_dir; at most BG_SUN_PATH_MAX bytes */
};

/*
 * Fills paths from the environment; release with bg_paths_done, also after a
 * failure. CONFIG when there is no home or the socket's path is too long.
 */
int bg_paths_init(struct bg_paths *paths, struct bg_err **err);
/* Makes config, ssh, state, cache and run directories, each with mode 0700 and ours. */
int bg_paths_create(const struct bg_paths *paths, struct bg_err **err);
/*
 * Makes one directory (parents too) with mode 0700. One that exists must be a
 * real directory of ours that no one else may write to; its mode is set to 0700.
 */
int bg_paths_private_dir(const char *path, struct bg_err **err);
void bg_paths_done(struct bg_paths *paths);

#endif
