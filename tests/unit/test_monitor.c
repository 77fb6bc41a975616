/* SPDX-License-Identifier: ISC */
/*
 * The monitor as it is, with scripted engines: this program again, which the monitor starts as
 * "--engine" (and "--bootstrap"), does what the environment names.
 */
#include "daemon/monitor.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#include "common/fd.h"
#include "common/json.h"
#include "common/log.h"
#include "daemon/boot.h"
#include "daemon/bootstrap.h"
#include "daemon/monitor_client.h"
#include "daemon/monitor_proto.h"
#include "tests/lib/test.h"

/* ---- the scripted engine ---- */

static struct loop *loop;
static struct monitor_client *client;
static struct bootstrap *build;
static struct loop_source *timer;

static void say(const char *text)
{
	const char *path = getenv("TEST_SAYS");
	int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);

	(void)bg_write_all(fd, text, strlen(text));
	bg_close(fd);
}

static void on_gone(void *userdata)
{
	say("gone;");
	loop_exit(loop, 0);
}

static void on_done(int status, void *userdata)
{
	char text[32];

	snprintf(text, sizeof(text), "status=%x;", (unsigned)status);
	say(text);
	bootstrap_free(TAKE_PTR(build));
	loop_exit(loop, 0);
}

static void on_cancel(void *userdata)
{
	bootstrap_free(TAKE_PTR(build));
	say("cancelled;");
	loop_exit(loop, 0);
}

/* The fake mmdebstrap made this file when it was well under way. */
static void on_look(void *userdata)
{
	if (access(getenv("TEST_STARTED"), F_OK) == 0)
		on_cancel(NULL);
}

static void start_build(bool cancel)
{
	static const char *const packages[] = {"jq", "g++"};
	_err_ struct bg_err *err = NULL;
	int out = open(getenv("TEST_OUT"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	int log = open(getenv("TEST_LOG"), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	struct bootstrap_spec spec = {.suite = "bookworm",
		.mirror = "http://127.0.0.1:1/debian",
		.packages = packages,
		.n_packages = 2,
		.out_fd = out,
		.log_fd = log,
		.minimal = getenv("TEST_MINIMAL") != NULL};

	if (monitor_bootstrap_start(client, &spec, on_done, NULL, &build, &err) < 0)
		say(err->message);
	bg_close(out);
	bg_close(log);
	if (cancel)
		(void)loop_add_ticker(loop, "look", 10000, on_look, NULL, &timer);
}

static unsigned helpers_started;

/* What a helper wrote to its descriptor 3 first, or that there is none. */
static void on_helper(int sock, void *userdata)
{
	struct pollfd p = {.fd = sock, .events = POLLIN};
	char text[64] = "none";

	if (sock >= 0)
		(void)poll(&p, 1, 10000); /* its word comes after its socket */
	if (sock >= 0 && recv(sock, text, sizeof(text) - 1, 0) < 0)
		snprintf(text, sizeof(text), "nothing");
	bg_close(sock);
	say("helper=");
	say(text);
	say(";");
	/* The second takes the place of the first, which lives on if it is let. */
	if (++helpers_started < 3 &&
		monitor_helper_start(client,
			helpers_started < 2 ? MONITOR_HELPER_NET : MONITOR_HELPER_DISK, on_helper,
			NULL) >= 0)
		return;
	loop_exit(loop, 0);
}

static const struct monitor_events events = {.gone = on_gone};

enum { CRASHES = 9 };

/* How often this role was played so far, this time included: a byte in the file for each. */
static int times(void)
{
	int fd = open(getenv("TEST_STARTED"), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	struct stat st;

	(void)bg_write_all(fd, "x", 1);
	if (fstat(fd, &st) < 0)
		exit(9);
	bg_close(fd);
	return (int)st.st_size;
}

static void refuse_a_waiter(void)
{
	struct pollfd pfd = {.fd = ENGINE_FD_LISTEN, .events = POLLIN};
	_err_ struct bg_err *err = NULL;

	(void)poll(&pfd, 1, 60000);
	bg_err_set(&err, BG_ERR_CONFIG, EINVAL, "config.toml:3: nonsense");
	monitor_say_failed(ENGINE_FD_MONITOR, err);
	exit(ENGINE_EXIT_START + BG_EXIT_USAGE);
}

static void become_engine(const char *role)
{
	struct monitor_msg bad = {.verb = MONITOR_EXITED};

	say("engine;");
	if (bg_streq(role, "crash-early"))
		abort();
	if (bg_streq(role, "refuse"))
		exit(ENGINE_EXIT_START + BG_EXIT_USAGE);
	if (bg_streq(role, "refuse-a-waiter"))
		refuse_a_waiter();
	if (loop_new(&loop) < 0 ||
		monitor_client_new(loop, ENGINE_FD_MONITOR, &events, NULL, &client, NULL) < 0)
		exit(9);
	monitor_client_ready(client);
	if (bg_streq(role, "crash-once") && access(getenv("TEST_STARTED"), F_OK) < 0) {
		bg_close(open(getenv("TEST_STARTED"), O_WRONLY | O_CREAT, 0600));
		kill(getpid(), SIGKILL);
	}
	if (bg_streq(role, "crash-often") && times() < CRASHES)
		kill(getpid(), SIGKILL);
	if (bg_streq(role, "malformed") && access(getenv("TEST_STARTED"), F_OK) < 0) {
		bg_close(open(getenv("TEST_STARTED"), O_WRONLY | O_CREAT, 0600));
		monitor_send(ENGINE_FD_MONITOR, &bad, NULL, NULL, 0);
		(void)loop_run(loop);
	}
	if (bg_streq(role, "build") || bg_streq(role, "cancel")) {
		start_build(bg_streq(role, "cancel"));
		(void)loop_run(loop);
	}
	if (bg_streq(role, "helper") &&
		monitor_helper_start(client, MONITOR_HELPER_NET, on_helper, NULL) >= 0)
		(void)loop_run(loop);
	if (bg_streq(role, "wait"))
		(void)loop_run(loop);
	loop_source_free(timer);
	monitor_client_free(client);
	loop_free(loop);
	say("clean;");
	exit(0);
}

__attribute__((constructor)) static void maybe_become(int argc, char **argv)
{
	if (argc == 2 && bg_streq(argv[1], "--engine"))
		become_engine(getenv("TEST_ROLE"));
	if (argc > 4 && bg_streq(argv[1], "--bootstrap"))
		exit(bootstrap_main(argc - 2, argv + 2));
}

/* ---- the tests ---- */

static char *in_tmp(const char *name)
{
	char *path;

	CHECK(asprintf(&path, "%s/%s", test_tmpdir(), name) > 0);
	return path;
}

static void set_env(const char *env, const char *name)
{
	_free_ char *path = in_tmp(name);

	setenv(env, path, 1);
}

static pid_t monitor;
static int ready;

static void start_monitor(const char *role)
{
	struct bg_paths paths = {.state_dir = in_tmp("."),
		.run_dir = in_tmp("run"),
		.log_file = in_tmp("log"),
		.worker_log = in_tmp("worker-log"),
		.lock_file = in_tmp("lock"),
		.socket = in_tmp("run/sock")};
	struct monitor_fds fds = {.claim = -1};
	int p[2];

	CHECK_INT(mkdir(paths.run_dir, 0700), 0);
	set_env("TEST_SAYS", "says");
	set_env("TEST_STARTED", "started");
	set_env("TEST_OUT", "out");
	set_env("TEST_LOG", "buildlog");
	setenv("TEST_ROLE", role, 1);
	setenv("BANGER_PRIVHELPER", "/nowhere", 0);
	CHECK_INT(pipe2(p, O_CLOEXEC), 0);
	monitor = fork();
	if (monitor == 0) {
		close(p[0]);
		fds.ready = p[1];
		CHECK_INT(boot_lock(&paths, &fds.lock, NULL), 0);
		CHECK_INT(boot_listen(&paths, &fds.listen, &fds.bound, NULL), 0);
		CHECK_INT(boot_log(&paths, NULL), 0);
		exit(monitor_run(&paths, &fds));
	}
	close(p[1]);
	ready = p[0];
	bg_paths_done(&paths);
}

static char *said(void)
{
	_free_ char *path = in_tmp("says");
	char *text = NULL;

	if (bg_read_file_at(-1, path, 65536, &text, NULL) < 0)
		return strdup("");
	return text;
}

static void wait_said(const char *want)
{
	const struct timespec step = {.tv_nsec = 10000000};

	for (int i = 0; i < 3000; i++) {
		_free_ char *text = said();

		if (strstr(text, want))
			return;
		nanosleep(&step, NULL);
	}
	test_fail(__FILE__, __LINE__, "\"%s\" was never said", want);
}

static void expect_end(int code, const char *says)
{
	_free_ char *text = NULL, *socket_path = in_tmp("run/sock");
	int status;

	CHECK_INT(waitpid(monitor, &status, 0), monitor);
	CHECK(WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), code);
	text = said();
	CHECK_STR(text, says);
	CHECK_INT(access(socket_path, F_OK), -1);
}

static void expect_ready(const char *want)
{
	_free_ char *text = NULL;

	CHECK_INT(bg_read_fd(ready, 65536, &text, NULL), 0);
	if (!strstr(text, want))
		test_fail(__FILE__, __LINE__, "\"%s\" lacks \"%s\"", text, want);
}

TEST(clean_end_ends_the_monitor)
{
	start_monitor("end");
	expect_ready("ok\n");
	expect_end(0, "engine;clean;");
}

TEST(refused_start_is_not_tried_again)
{
	start_monitor("refuse");
	expect_ready("");
	expect_end(BG_EXIT_USAGE, "engine;");
}

static int dial(void)
{
	_free_ char *path = in_tmp("run/sock");
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	const struct timespec step = {.tv_nsec = 10000000};

	snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", path);
	for (int i = 0; connect(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0; i++) {
		CHECK(i < 3000);
		nanosleep(&step, NULL);
	}
	return fd;
}

/* Who waits at the socket of a daemon that cannot start is told why, whatever it asked. */
TEST(waiters_are_told_why_a_start_failed)
{
	static const char ask[] = "POST /v1/vms HTTP/1.1\r\nHost: b\r\nContent-Length: 2\r\n\r\n{}";
	_free_ char *note = in_tmp("start-error.json"), *noted = NULL;
	char text[4096] = "";
	size_t len = 0;
	ssize_t n;
	int fd;

	start_monitor("refuse-a-waiter");
	fd = dial();
	CHECK_INT(bg_write_all(fd, ask, strlen(ask)), 0);
	while ((n = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += (size_t)n;
	close(fd);
	CHECK(strstr(text, "HTTP/1.1 500 ") == text && strstr(text, "config.toml:3: nonsense"));
	expect_ready("config.toml:3: nonsense");
	expect_end(BG_EXIT_USAGE, "engine;");
	CHECK_INT(bg_read_file_at(-1, note, 4096, &noted, NULL), 0);
	CHECK(strstr(text, noted));
}

/* Pauses double, 51 s in all; a client that waits cuts each to a second. */
TEST(waiting_client_hurries_a_restart)
{
	uint64_t began = loop_now_usec();
	int fd;

	start_monitor("crash-often");
	fd = dial();
	expect_end(0, "engine;engine;engine;engine;engine;engine;engine;engine;engine;clean;");
	CHECK(loop_now_usec() - began < 30000000);
	close(fd);
}

TEST(crash_before_it_served_is_reported)
{
	start_monitor("crash-early");
	expect_ready("killed by signal 6");
	expect_end(BG_EXIT_DAEMON, "engine;");
}

TEST(crash_is_followed_by_a_new_engine)
{
	start_monitor("crash-once");
	expect_ready("ok\n");
	expect_end(0, "engine;engine;clean;");
}

TEST(malformed_message_costs_the_engine_its_life)
{
	start_monitor("malformed");
	expect_end(0, "engine;engine;clean;");
}

TEST(killed_monitor_is_noticed)
{
	start_monitor("wait");
	expect_ready("ok\n");
	kill(monitor, SIGKILL);
	CHECK_INT(waitpid(monitor, NULL, 0), monitor);
	wait_said("engine;gone;clean;");
}

static bool lives(pid_t pid)
{
	return kill(pid, 0) >= 0;
}

/* One printf of the shell is one datagram. */
TEST(helper_is_started_again_in_the_place_of_the_last)
{
	static const char script[] = "#!/bin/sh\nprintf \"$$\" >&3\nexec sleep 300\n";
	_free_ char *path = in_tmp("helper"), *text = NULL;
	int first, second;

	CHECK_INT(bg_write_file_at(-1, path, script, strlen(script), 0755), 0);
	setenv("BANGER_PRIVHELPER", path, 1);
	setenv("BANGER_PRIVHELPER_DISK", "/nowhere", 1);
	start_monitor("helper");
	expect_ready("ok\n");
	wait_said("clean;");
	text = said();
	CHECK_INT(
		sscanf(text, "engine;helper=%d;helper=%d;helper=none;clean;", &first, &second), 2);
	CHECK(strstr(text, "helper=none;clean;"));
	CHECK(first != second && !lives(first));
	CHECK_INT(kill(second, SIGKILL), 0);
	CHECK_INT(waitpid(monitor, NULL, 0), monitor);
}

static void fake_mmdebstrap(const char *script)
{
	static const char *const tools[] = {"mmdebstrap", "newuidmap"};
	_free_ char *path = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(tools); i++) {
		_free_ char *tool = in_tmp(tools[i]);

		CHECK_INT(bg_write_file_at(-1, tool, script, strlen(script), 0755), 0);
	}
	CHECK(asprintf(&path, "%s:/usr/bin:/bin", test_tmpdir()) > 0);
	setenv("PATH", path, 1);
	setenv("SECRET", "leaks", 1);
}

static char *content(const char *name)
{
	_free_ char *path = in_tmp(name);
	char *text = NULL;

	CHECK_INT(bg_read_file_at(-1, path, 65536, &text, NULL), 0);
	return text;
}

TEST(bootstrap_runs_the_tool_and_tells_its_end)
{
	_free_ char *out = NULL, *log = NULL;

	fake_mmdebstrap(
		"#!/bin/sh\nfor a; do echo \"arg:$a\"; done; echo \"env:$SECRET\"; echo words >&2\n"
		"test -d \"$TMPDIR\" && touch \"$TMPDIR/left\"; exit 3\n");
	start_monitor("build");
	expect_end(0, "engine;status=300;clean;");
	out = content("out");
	log = content("buildlog");
	CHECK_STR(log, "words\n");
	CHECK(strstr(out, "arg:--mode=unshare\n") && strstr(out, "arg:--format=tar\n"));
	CHECK(strstr(out, ",python3,jq,g++\n"));
	CHECK(strstr(out, "arg:bookworm\narg:-\narg:http://127.0.0.1:1/debian\nenv:\n"));
}

TEST(a_minimal_one_has_what_it_takes_to_be_reached)
{
	_free_ char *out = NULL;

	fake_mmdebstrap("#!/bin/sh\nfor a; do echo \"arg:$a\"; done; exit 3\n");
	CHECK_INT(setenv("TEST_MINIMAL", "1", 1), 0);
	start_monitor("build");
	CHECK_INT(unsetenv("TEST_MINIMAL"), 0);
	expect_end(0, "engine;status=300;clean;");
	out = content("out");
	CHECK(strstr(out, ",openssh-server,") && strstr(out, ",jq,g++\n"));
	CHECK(!strstr(out, "python3") && !strstr(out, ",git,"));
}

TEST(cancel_leaves_no_process_behind)
{
	const struct timespec step = {.tv_nsec = 10000000};
	_free_ char *started = in_tmp("started"), *script = NULL, *pids = NULL;
	pid_t one, two;

	/* One that hides in a session of its own, and a tool that ends at once when told. The
	 * tool's environment is cut: the path goes into the script. */
	CHECK(asprintf(&script,
		      "#!/bin/sh\nsetsid sh -c 'trap \"\" TERM; sleep 300; :' &\n"
		      "echo $$ $! > %s.1; trap 'exit 1' TERM; mv %s.1 %s; wait\n",
		      started, started, started) > 0);
	fake_mmdebstrap(script);
	start_monitor("cancel");
	expect_end(0, "engine;cancelled;clean;");
	pids = content("started");
	CHECK_INT(sscanf(pids, "%d %d", &one, &two), 2);
	for (int i = 0; i < 3000 && (lives(one) || lives(two)); i++)
		nanosleep(&step, NULL);
	CHECK(!lives(one) && !lives(two));
}

TEST(words_that_are_refused)
{
	static const char *const suites[] = {"", "-x", "Book", "a b", "a/b"};
	static const char *const mirrors[] = {"deb http://x y main", "ftp://x", "http://",
		"http://x y", "/etc/passwd", "http://x;y", "-"};
	static const char *const packages[] = {
		"", "-x", "x-", "X", "a b", "./x.deb", "?x", "~x", "a/b", "a=1", "a,b"};

	for (size_t i = 0; i < ARRAY_SIZE(suites); i++)
		CHECK(!bootstrap_suite_valid(suites[i]));
	for (size_t i = 0; i < ARRAY_SIZE(mirrors); i++)
		CHECK(!bootstrap_mirror_valid(mirrors[i]));
	for (size_t i = 0; i < ARRAY_SIZE(packages); i++)
		CHECK(!bootstrap_package_valid(packages[i]));
	CHECK(bootstrap_suite_valid("bookworm") && bootstrap_suite_valid("trixie-updates"));
	CHECK(bootstrap_mirror_valid("") &&
		bootstrap_mirror_valid("http://deb.example.org/debian"));
	CHECK(bootstrap_package_valid("g++") && bootstrap_package_valid("libc6.1-dev") &&
		bootstrap_package_valid("0ad"));
}

TEST(payloads_are_checked_whole)
{
	static const struct {
		const char *bytes;
		size_t len;
		int r;
	} rows[] = {
		{"bookworm\0\0full\0jq\0", 18, 0},
		{"bookworm\0\0minimal\0", 18, 0},
		{"bookworm\0\0small\0", 16, -EINVAL},
		{"bookworm\0\0", 10, -EINVAL},	       /* no kind */
		{"bookworm\0\0full\0jq", 17, -EINVAL}, /* no end */
		{"bookworm\0", 9, -EINVAL},	       /* no mirror */
		{"\0\0full\0jq\0", 10, -EINVAL},
		{"bookworm\0\0full\0-x\0", 18, -EINVAL},
		{"bookworm\0\0full\0jq\0\0", 19, -EINVAL},
		{"", 0, -EINVAL},
	};
	struct bootstrap_args args;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		CHECK_INT(bootstrap_args_parse(rows[i].bytes, rows[i].len, &args), rows[i].r);
}
