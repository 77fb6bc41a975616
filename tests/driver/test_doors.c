/* SPDX-License-Identifier: ISC */
/*
 * The seal of VMMs from the inside: tests/lib/doors.c in the place of QEMU and of Firecracker,
 * started by the real drivers through the real banger-launch. Each door that is expected to be shut
 * was open for the same program without the seal, in the same place, else it would prove nothing.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "common/landlock.h"
#include "daemon/driver/vmm_impl.h"
#include "daemon/loop/spawn.h"
#include "tests/driver/spin.h"

static const char vm_id[] = "00112233445566778899aabbccddeeff";

static struct fixture {
	struct loop *loop;
	struct vmm *vmm;
	char *dir, *home, *run_dir, *log, *serial, *disk, *base, *binary, *launcher;
	unsigned exits;
	int status;
	pid_t monitor;
} f;

/* In test_tmpdir(). */
static char *path_of(const char *fmt, ...) _printf_(1, 2);
static char *path_of(const char *fmt, ...)
{
	char *name = NULL, *path = NULL;
	va_list ap;

	va_start(ap, fmt);
	CHECK(vasprintf(&name, fmt, ap) > 0);
	va_end(ap);
	CHECK(asprintf(&path, "%s/%s", test_tmpdir(), name) > 0);
	free(name);
	return path;
}

static char *put_file(const char *name, mode_t mode)
{
	char *path = path_of("%s", name);

	CHECK_INT(bg_write_file_at(AT_FDCWD, path, "secret", 6, mode), 0);
	return path;
}

static void listen_unix(const char *name, int type, bool abstract, const char *variable)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	_free_ char *path = path_of("%s", name);
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path + abstract, sizeof(sa.sun_path) - 1, "%s", path);
	CHECK_INT(bind(fd, (const struct sockaddr *)&sa,
			  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + abstract +
				      strlen(path) + !abstract)),
		0);
	if (type == SOCK_STREAM)
		CHECK_INT(listen(fd, 64), 0);
	setenv(variable, path, 1);
}

static void listen_port(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET};
	int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(sa);
	char text[16];

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK_INT(bind(tcp, (const struct sockaddr *)&sa, sizeof(sa)), 0);
	CHECK_INT(listen(tcp, 64), 0);
	CHECK_INT(getsockname(tcp, (struct sockaddr *)&sa, &len), 0);
	CHECK_INT(bind(udp, (const struct sockaddr *)&sa, sizeof(sa)), 0);
	snprintf(text, sizeof(text), "%u", ntohs(sa.sin_port));
	setenv("DOORS_PORT", text, 1);
}

/* The engine is this process; the monitor a child that only waits. */
static void start_monitor(void)
{
	char text[16];

	f.monitor = fork();
	CHECK(f.monitor >= 0);
	if (f.monitor == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			(void)pause();
	}
	snprintf(text, sizeof(text), "%d", (int)f.monitor);
	setenv("DOORS_MONITOR", text, 1);
}

static void make_home(void)
{
	static const char *const names[] = {"id_ed25519", "banger.db", ".bashrc", "other-root.img",
		"other-host-key", "serial.log"};
	char *list = strdup("");

	CHECK_INT(mkdir(f.home, 0700), 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		_free_ char *name = NULL, *path = NULL;
		char *longer;

		CHECK(asprintf(&name, "home/%s", names[i]) > 0);
		path = put_file(name, 0600);
		CHECK(asprintf(&longer, "%s%s:", list, path) > 0);
		free(list);
		list = longer;
	}
	setenv("DOORS_FILES", list, 1);
	setenv("DOORS_FOLDER", f.home, 1);
	free(list);
}

static void on_exit_fn(struct vmm *vmm, int status, void *userdata)
{
	f.exits++;
	f.status = status;
}

static void setup(void)
{
	CHECK_INT(loop_new(&f.loop), 0);
	f.home = path_of("home");
	f.run_dir = path_of("run");
	CHECK_INT(mkdir(f.run_dir, 0700), 0);
	f.disk = put_file("root.img", 0600);
	f.base = put_file("base.img", 0400);
	f.log = path_of("vmm.log");
	f.serial = path_of("serial.log");
	CHECK(asprintf(&f.binary, "%s/tests/lib/doors", test_build_dir()) > 0);
	CHECK(asprintf(&f.launcher, "%s/launcher/banger-launch", test_build_dir()) > 0);
	make_home();
	listen_unix("api.sock", SOCK_STREAM, false, "DOORS_STREAM");
	listen_unix("bus.sock", SOCK_DGRAM, false, "DOORS_DATAGRAM");
	listen_unix("abstract", SOCK_STREAM, true, "DOORS_ABSTRACT");
	listen_port();
	start_monitor();
}

static struct vmm_spec make_spec(void)
{
	return (struct vmm_spec){
		.id = vm_id,
		.name = "test",
		.vcpus = 1,
		.memory_mib = 128,
		.accel = VMM_ACCEL_TCG,
		.launcher = f.launcher,
		.binary = f.binary,
		.kernel = f.base,
		.initrd = f.base,
		.disk_root = f.disk,
		.disk_modules = f.base,
		.run_dir = f.run_dir,
		.serial_log = f.serial,
		.vmm_log = f.log,
	};
}

static char *result_of(const char *path)
{
	char *text = NULL;
	int status;

	CHECK_INT(bg_read_file_at(AT_FDCWD, path, MIB, &text, NULL), 0);
	if (!strstr(text, "\nend\topen"))
		test_fail(__FILE__, __LINE__, "status %d: %s", f.status, text);
	/* Nobody was killed. */
	CHECK_INT(waitpid(f.monitor, &status, WNOHANG), 0);
	return text;
}

/* As the real drivers start it. */
static char *sealed(const struct vmm_driver *driver, const char *log)
{
	_err_ struct bg_err *err = NULL;
	struct vmm_spec spec = make_spec();

	if (vmm_start(f.loop, driver, &spec, on_exit_fn, NULL, &f.vmm, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err->message);
	SPIN(f.loop, f.exits == 1);
	return result_of(log);
}

/* Without a launcher, or by one on an older kernel: with the filter of QEMU, and its grants. */
static char *started(const char *abi)
{
	const char *const bare[] = {f.binary, NULL};
	_close_ int log = vmm_open_log(f.log, NULL);
	struct spawn spawn = {f.binary, bare, NULL, {-1, log, log}, 3, true};
	struct vmm_process process = {.pidfd = -1};
	_argv_ struct argv launcher = {0}, vmm = {0};
	struct vmm_spec spec = make_spec();
	int status;

	if (abi) {
		CHECK_INT(vmm_launch_begin(&launcher, &spec, 0, NULL), 0);
		argv_add(&vmm, "%s", f.binary);
		/* Behind the program's name: the launcher's first option. */
		argv_add(&launcher, "--abi");
		argv_add(&launcher, "%s", abi);
		for (unsigned i = 0; i < 2; i++) {
			char *last = launcher.v[launcher.n - 1];

			memmove(launcher.v + 2, launcher.v + 1,
				(launcher.n - 2) * sizeof(*launcher.v));
			launcher.v[1] = last;
		}
		spawn.fd[BG_LAUNCH_FD_FILTER] = vmm_seal_filter(VMM_SEAL_QEMU, NULL);
		spawn.n_fds = BG_LAUNCH_FD_FIRST;
		CHECK_INT(vmm_launch(&launcher, &vmm, &spawn, &process, NULL), 0);
	} else {
		CHECK_INT(spawn_process(&spawn, &process.pid, &process.pidfd, NULL), 0);
	}
	CHECK_INT(waitpid(process.pid, &status, 0), process.pid);
	close(process.pidfd);
	f.status = status;
	return result_of(f.log);
}

/* "NAME\topen" and "NAME:WHAT\topen" stand in words as "NAME". */
static bool is_word(const char *words, const char *name, size_t len)
{
	for (const char *p = words; (p = strstr(p, name)); p++)
		if ((p == words || p[-1] == ' ') && (p[len] == ' ' || p[len] == '\0'))
			return true;
	return false;
}

/* All that is open must be named, and what must be open is. */
static void judge(const char *text, const char *allowed, const char *needed)
{
	_free_ char *copy = strdup(text);
	unsigned open = 0, wrong = 0, shut = 0;
	char *save = NULL;

	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		size_t len = strcspn(line, ":\t");
		char name[64];

		snprintf(name, sizeof(name), "%.*s", (int)len, line);
		if (!strstr(line, "\topen\t")) {
			shut++;
			continue;
		}
		open++;
		if (!is_word(allowed, name, strlen(name))) {
			printf("# %s\n", line);
			wrong++;
		}
	}
	printf("# %u doors shut, %u open\n", shut, open);
	for (const char *p = needed; *p; p += strcspn(p, " "), p += *p == ' ') {
		char line[64];

		snprintf(line, sizeof(line), "\n%.*s\topen", (int)strcspn(p, " "), p);
		if (!strstr(text, line))
			test_fail(__FILE__, __LINE__, "shut: %s", line + 1);
	}
	CHECK(shut > 100);
	CHECK_INT(wrong, 0);
}

static void teardown(void)
{
	char *all[] = {f.home, f.run_dir, f.log, f.serial, f.disk, f.base, f.binary, f.launcher};

	(void)kill(f.monitor, SIGKILL);
	(void)waitpid(f.monitor, NULL, 0);
	vmm_free(f.vmm);
	loop_free(f.loop);
	for (size_t i = 0; i < ARRAY_SIZE(all); i++)
		free(all[i]);
}

static void need_landlock(int abi)
{
	if (bg_landlock_abi() < abi)
		test_skip("this kernel has Landlock ABI %d, not %d: files are open to a VMM",
			bg_landlock_abi(), abi);
}

/* Those are the machine's: a filter of whoever started the tests, a missing /dev/net/tun. */
TEST(without_the_seal_all_doors_are_open)
{
	_free_ char *text = NULL;
	unsigned shut = 0;

	setup();
	text = started(NULL);
	for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		int len = (int)strcspn(p, "\n");
		char line[200];

		snprintf(line, sizeof(line), "%.*s", len, p);
		if (!strstr(line, "\tshut\t"))
			continue;
		printf("# %s\n", line);
		shut += !is_word("io-uring tun ptrace vm-read own", line, strcspn(line, ":\t"));
	}
	CHECK_INT(shut, 0);
	teardown();
}

/* What is left: whether a path exists, how large it is. */
TEST(in_place_of_qemu)
{
	_free_ char *text = NULL;

	need_landlock(1);
	setup();
	text = sealed(&vmm_qemu, f.log);
	judge(text, "stat end", "end");
	teardown();
}

/* And what it needs: the tap is opened by name, its sockets are made by it. */
TEST(in_place_of_firecracker)
{
	_free_ char *text = NULL;

	need_landlock(1);
	setup();
	setenv("DOORS_OWN", f.disk, 1);
	text = sealed(&vmm_firecracker, f.serial);
	judge(text, "stat end own unix-socket", "end own unix-socket");
	teardown();
}

TEST(on_older_kernels)
{
	static const char *const abis[] = {"1", "2", "3", "4", "5", "6"};

	need_landlock(1);
	setup();
	for (size_t i = 0; i < ARRAY_SIZE(abis); i++) {
		_free_ char *text = started(abis[i]);

		printf("# ABI %s\n", abis[i]);
		judge(text, "stat end", "end");
		CHECK_INT(unlink(f.log), 0);
	}
	teardown();
}

TEST(a_script_is_not_started)
{
	_err_ struct bg_err *err = NULL;
	struct vmm_spec spec;

	setup();
	spec = make_spec();
	spec.binary = f.log;
	CHECK_INT(bg_write_file_at(AT_FDCWD, f.log, "#!/bin/sh\nexec qemu\n", 20, 0755), 0);
	CHECK(vmm_start(f.loop, &vmm_qemu, &spec, on_exit_fn, NULL, &f.vmm, &err) < 0);
	CHECK_INT(err->code, BG_ERR_VMM_MISSING);
	CHECK(strstr(err->message, "not an ELF program") && strstr(err->hint, "script"));
	teardown();
}

/* A disk under a second name, by a link, or of no such kind could be anybody's. */
TEST(disks_are_what_they_seem)
{
	uint64_t bytes = 0;
	char *second;

	setup();
	second = path_of("second");
	CHECK_INT(bg_close(vmm_open_disk(f.disk, true, &bytes, NULL)), -1);
	CHECK_INT(bytes, 6);
	CHECK_INT(link(f.disk, second), 0);
	CHECK_INT(vmm_open_disk(f.disk, true, &bytes, NULL), -EPERM);
	CHECK_INT(unlink(second), 0);
	CHECK_INT(symlink(f.disk, second), 0);
	CHECK_INT(vmm_open_disk(second, true, &bytes, NULL), -ELOOP);
	CHECK_INT(unlink(second), 0);
	CHECK_INT(mkfifo(second, 0600), 0);
	CHECK(vmm_open_disk(second, true, &bytes, NULL) < 0);
	free(second);
	teardown();
}
