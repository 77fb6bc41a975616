/* SPDX-License-Identifier: ISC */
/*
 * test_paths.c: Where the folders are by HOME and the XDG variables, and whose folders are
 * refused.
 */
#include "common/paths.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "tests/lib/test.h"

static void set_home(void)
{
	setenv("HOME", test_tmpdir(), 1);
	unsetenv("XDG_CONFIG_HOME");
	unsetenv("XDG_STATE_HOME");
	unsetenv("XDG_CACHE_HOME");
	unsetenv("XDG_RUNTIME_DIR");
}

static void check_below(const char *path, const char *dir, const char *rest)
{
	char want[512];

	snprintf(want, sizeof(want), "%s/%s", dir, rest);
	CHECK_STR(path, want);
}

TEST(defaults_are_below_home)
{
	_cleanup_(bg_paths_done) struct bg_paths p = {0};

	set_home();
	CHECK_INT(bg_paths_init(&p, NULL), 0);
	check_below(p.config_dir, test_tmpdir(), ".config/banger");
	check_below(p.config_file, test_tmpdir(), ".config/banger/config.toml");
	check_below(p.ssh_dir, test_tmpdir(), ".config/banger/ssh");
	check_below(p.state_dir, test_tmpdir(), ".local/state/banger");
	check_below(p.log_file, test_tmpdir(), ".local/state/banger/bangerd.log");
	check_below(p.cache_dir, test_tmpdir(), ".cache/banger");
}

TEST(environment_wins)
{
	_cleanup_(bg_paths_done) struct bg_paths p = {0};

	set_home();
	setenv("XDG_CONFIG_HOME", "/c", 1);
	setenv("XDG_STATE_HOME", "/s", 1);
	setenv("XDG_CACHE_HOME", "/k", 1);
	setenv("XDG_RUNTIME_DIR", "/r", 1);
	CHECK_INT(bg_paths_init(&p, NULL), 0);
	CHECK_STR(p.config_dir, "/c/banger");
	CHECK_STR(p.state_dir, "/s/banger");
	CHECK_STR(p.cache_dir, "/k/banger");
	CHECK_STR(p.socket, "/s/banger/run/bangerd.sock"); /* /r goes at a logout */
	CHECK_STR(p.lock_file, "/s/banger/bangerd.lock");
}

TEST(relative_values_are_ignored)
{
	_cleanup_(bg_paths_done) struct bg_paths p = {0};

	set_home();
	setenv("XDG_CONFIG_HOME", "c", 1);
	setenv("XDG_STATE_HOME", "", 1);
	CHECK_INT(bg_paths_init(&p, NULL), 0);
	check_below(p.config_dir, test_tmpdir(), ".config/banger");
	check_below(p.run_dir, test_tmpdir(), ".local/state/banger/run");
}

TEST(socket_path_limit)
{
	_cleanup_(bg_paths_done) struct bg_paths p = {0}, q = {0};
	_err_ struct bg_err *err = NULL;
	char dir[200];
	size_t fits = 107 - strlen("/banger/bangerd.sock");

	set_home();
	memset(dir, 'd', sizeof(dir));
	dir[0] = '/';
	setenv("XDG_STATE_HOME", dir, 1); /* too long for sockets: the login's folder has to do */
	dir[fits] = '\0';
	setenv("XDG_RUNTIME_DIR", dir, 1);
	CHECK_INT(bg_paths_init(&p, NULL), 0);
	CHECK_INT(strlen(p.socket), 107);
	dir[fits] = 'd';
	dir[fits + 1] = '\0';
	setenv("XDG_RUNTIME_DIR", dir, 1);
	CHECK_INT(bg_paths_init(&q, &err), -ENAMETOOLONG);
	CHECK_STR(bg_err_code_str(err->code), "config.invalid");
	CHECK(strstr(err->message, "108 bytes"));
}

/* Where the longest name of a VM's socket fits, they all lie with the state. */
TEST(sockets_lie_with_the_state_while_they_fit)
{
	size_t fits = 107 - strlen("/banger/run/vm/0123456789ab/vsock.sock_52");
	_cleanup_(bg_paths_done) struct bg_paths p = {0}, q = {0};
	char dir[200];

	set_home();
	memset(dir, 'd', sizeof(dir));
	dir[0] = '/';
	dir[fits] = '\0';
	setenv("XDG_STATE_HOME", dir, 1);
	setenv("XDG_RUNTIME_DIR", "/r", 1);
	CHECK_INT(bg_paths_init(&p, NULL), 0);
	check_below(p.run_dir, dir, "banger/run");
	dir[fits] = 'd';
	dir[fits + 1] = '\0';
	setenv("XDG_STATE_HOME", dir, 1);
	CHECK_INT(bg_paths_init(&q, NULL), 0);
	CHECK_STR(q.run_dir, "/r/banger");
}

TEST(creates_private_directories)
{
	_cleanup_(bg_paths_done) struct bg_paths p = {0};
	struct stat st;

	set_home();
	setenv("XDG_RUNTIME_DIR", test_tmpdir(), 1);
	CHECK_INT(bg_paths_init(&p, NULL), 0);
	umask(0);
	CHECK_INT(bg_paths_create(&p, NULL), 0);
	CHECK(lstat(p.state_dir, &st) >= 0);
	CHECK_INT(st.st_mode & 07777, 0700);
	CHECK_INT(chmod(p.run_dir, 0777), 0);
	CHECK_INT(bg_paths_create(&p, NULL), 0);
	CHECK(lstat(p.run_dir, &st) >= 0);
	CHECK_INT(st.st_mode & 07777, 0700);
}

TEST(refuses_a_link_and_a_strangers_directory)
{
	_err_ struct bg_err *link = NULL, *owner = NULL;
	char path[128];

	snprintf(path, sizeof(path), "%s/link", test_tmpdir());
	CHECK_INT(symlink("/tmp", path), 0);
	CHECK(bg_paths_private_dir(path, &link) < 0);
	CHECK(link);
	if (geteuid() != 0)
		test_skip("needs root to make a directory of another user");
	snprintf(path, sizeof(path), "%s/other", test_tmpdir());
	CHECK_INT(mkdir(path, 0700), 0);
	CHECK_INT(chown(path, 12345, 12345), 0);
	CHECK_INT(bg_paths_private_dir(path, &owner), -EPERM);
	CHECK(strstr(owner->message, "belongs to uid 12345"));
}
