/* SPDX-License-Identifier: ISC */
/*
 * paths.c: The environment is read once, in bg_paths_init. Relative values are ignored, as the XDG
 * rules ask.
 */
#include "common/paths.h"

#include <fcntl.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/limits.h"

/* "/vm/" and 12 digits of an id, "/", the longest name of a VMM's socket: "vsock.sock_52". */
enum { VM_SOCKET_MAX = 4 + 12 + 1 + 13 };

/* NULL after a failed allocation; checked once, at the end of bg_paths_init. */
static char *join(const char *dir, const char *name)
{
	char *s = NULL;

	if (!dir || asprintf(&s, "%s/%s", dir, name) < 0)
		return NULL;
	return s;
}

/* XDG says: a value that is not absolute is to be ignored. */
static const char *env_abs(const char *name)
{
	const char *v = getenv(name);

	return v && v[0] == '/' ? v : NULL;
}

static char *find_home(void)
{
	const char *home = env_abs("HOME");
	const struct passwd *pw;

	if (home)
		return strdup(home);
	pw = getpwuid(geteuid());
	return pw && pw->pw_dir && pw->pw_dir[0] == '/' ? strdup(pw->pw_dir) : NULL;
}

static char *xdg_dir(const char *env, const char *home, const char *below_home)
{
	_free_ char *fallback = join(home, below_home);
	const char *base = env_abs(env);

	return join(base ? base : fallback, "banger");
}

/* The login manager's directory, also where a session (su, cron) lost the variable. */
static char *login_run_dir(void)
{
	const char *base = env_abs("XDG_RUNTIME_DIR");
	char user[64];
	struct stat st;

	if (base)
		return join(base, "banger");
	snprintf(user, sizeof(user), "/run/user/%u", (unsigned)geteuid());
	if (lstat(user, &st) >= 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid())
		return join(user, "banger");
	return NULL;
}

/*
 * With the state: VMs outlive a login, their sockets must as well, and every command finds the daemon whatever its
 * environment is. Only where a home's path is too long for a socket is it the login's folder.
 */
static char *find_run_dir(const char *state_dir)
{
	_free_ char *run = join(state_dir, "run");
	char *login = run && strlen(run) > BG_SUN_PATH_MAX - VM_SOCKET_MAX ? login_run_dir() : NULL;

	return login ? login : TAKE_PTR(run);
}

static int check_socket(const struct bg_paths *p, struct bg_err **err)
{
	size_t len = strlen(p->socket);
	int r;

	if (len <= BG_SUN_PATH_MAX)
		return 0;
	r = bg_err_set(err, BG_ERR_CONFIG, ENAMETOOLONG,
		"the socket's path has %zu bytes, %d is the most a unix socket can have: %s", len,
		BG_SUN_PATH_MAX, p->socket);
	bg_err_hint(err, "set XDG_STATE_HOME to a shorter directory");
	return r;
}

int bg_paths_init(struct bg_paths *p, struct bg_err **err)
{
	int r;

	*p = (struct bg_paths){.home = find_home()};
	if (!p->home) {
		r = bg_err_set(
			err, BG_ERR_CONFIG, ENOENT, "there is no home directory to keep VMs in");
		bg_err_hint(err, "set HOME to an absolute path");
		return r;
	}
	p->config_dir = xdg_dir("XDG_CONFIG_HOME", p->home, ".config");
	p->config_file = join(p->config_dir, "config.toml");
	p->ssh_dir = join(p->config_dir, "ssh");
	p->state_dir = xdg_dir("XDG_STATE_HOME", p->home, ".local/state");
	p->log_file = join(p->state_dir, "bangerd.log");
	p->worker_log = join(p->state_dir, "worker.log");
	p->lock_file = join(p->state_dir, "bangerd.lock");
	p->cache_dir = xdg_dir("XDG_CACHE_HOME", p->home, ".cache");
	p->run_dir = find_run_dir(p->state_dir);
	p->socket = join(p->run_dir, "bangerd.sock");
	if (!p->config_file || !p->ssh_dir || !p->log_file || !p->worker_log || !p->lock_file ||
		!p->cache_dir || !p->socket)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	return check_socket(p, err);
}

static int check_ours(int fd, const char *path, struct bg_err **err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "%s", path);
	if (st.st_uid != geteuid()) {
		int r = bg_err_set(err, BG_ERR_FORBIDDEN, EPERM,
			"%s belongs to uid %u, not to you (%u)", path, (unsigned)st.st_uid,
			(unsigned)geteuid());

		bg_err_hint(err, "look at who made it, then remove it or give it back: `ls -ld %s`",
			path);
		return r;
	}
	if ((st.st_mode & 07777) != 0700 && fchmod(fd, 0700) < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "make %s private", path);
	return 0;
}

int bg_paths_private_dir(const char *path, struct bg_err **err)
{
	_close_ int fd = -1;
	int r;

	r = bg_mkdir_p(path, 0700);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_IO, -r, "make directory %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return bg_err_sys(err, BG_ERR_IO, errno, "open directory %s", path);
	return check_ours(fd, path, err);
}

int bg_paths_create(const struct bg_paths *p, struct bg_err **err)
{
	const char *dirs[] = {p->config_dir, p->ssh_dir, p->state_dir, p->cache_dir, p->run_dir};
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(dirs) && r >= 0; i++)
		r = bg_paths_private_dir(dirs[i], err);
	return r;
}

void bg_paths_done(struct bg_paths *p)
{
	char *all[] = {p->home, p->config_dir, p->config_file, p->ssh_dir, p->state_dir,
		p->log_file, p->worker_log, p->lock_file, p->cache_dir, p->run_dir, p->socket};

	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		free(all[i]);
	*p = (struct bg_paths){0};
}
