/* SPDX-License-Identifier: ISC */
/*
 * daemon/driver/vmm*.c: identity, adoption and exit with the fake VMM; control sockets against
 * scripted peers and real QEMU. Command lines are test_vmm_args.c's.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "daemon/driver/guest.h"
#include "daemon/driver/vmm_impl.h"
#include "tests/driver/spin.h"

/* Of this test process alone: others may run on this machine at the same time. */
static char vm_id[BG_ID_LEN + 1];

static struct fixture {
	struct loop *loop;
	struct vmm *vmm;
	struct vmm_call *call;
	char run_dir[100], binary[300], launcher[300], serial[150], log[150], kernel[150];
	unsigned exits, completed, drops;
	int status;
	bool ok;
	char message[400];
} f;

static void on_exit_fn(struct vmm *vmm, int status, void *userdata)
{
	f.exits++;
	f.status = status;
}

static void on_done(const struct bg_err *err, void *userdata)
{
	f.completed++;
	f.ok = !err;
	snprintf(f.message, sizeof(f.message), "%s", err ? err->message : "");
}

static void setup(void)
{
	snprintf(vm_id, sizeof(vm_id), "%032x", (unsigned)getpid());
	snprintf(f.run_dir, sizeof(f.run_dir), "%s", test_tmpdir());
	snprintf(f.binary, sizeof(f.binary), "%s/tests/lib/fake-vmm", test_build_dir());
	snprintf(f.launcher, sizeof(f.launcher), "%s/launcher/banger-launch", test_build_dir());
	snprintf(f.serial, sizeof(f.serial), "%s/serial.log", f.run_dir);
	snprintf(f.log, sizeof(f.log), "%s/vmm.log", f.run_dir);
	snprintf(f.kernel, sizeof(f.kernel), "%s/kernel", f.run_dir);
	CHECK_INT(loop_new(&f.loop), 0);
}

/* A file of one sector, bootable by nothing. */
static void make_kernel(void)
{
	static char bytes[1024 * 1024];

	CHECK_INT(bg_write_file_at(AT_FDCWD, f.kernel, bytes, sizeof(bytes), 0600), 0);
}

static struct vmm_spec make_spec(void)
{
	return (struct vmm_spec){
		.id = vm_id,
		.name = "test",
		.vcpus = 2,
		.memory_mib = 256,
		.accel = VMM_ACCEL_TCG,
		.launcher = f.launcher,
		.binary = f.binary,
		.kernel = f.kernel,
		.initrd = f.kernel,
		.disk_root = f.kernel,
		.run_dir = f.run_dir,
		.serial_log = f.serial,
		.vmm_log = f.log,
	};
}

/* A real VMM burns a processor when a failed test leaves it behind: this one's end is its end. */
static void guard(pid_t pid)
{
	int ends[2], pidfd = pidfd_open(pid, 0);
	char c;

	CHECK(pidfd >= 0);
	CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
	if (fork() != 0) {
		close(ends[0]);
		close(pidfd);
		return; /* the other end stays open until this process is gone */
	}
	close(ends[1]);
	(void)!read(ends[0], &c, 1);
	(void)pidfd_send_signal(pidfd, SIGKILL, NULL, 0);
	_exit(0);
}

static void start_spec(const struct vmm_driver *driver, const struct vmm_spec *spec)
{
	_err_ struct bg_err *err = NULL;
	uint64_t start;
	pid_t pid;

	if (vmm_start(f.loop, driver, spec, on_exit_fn, NULL, &f.vmm, &err) < 0)
		test_fail(__FILE__, __LINE__, "%s", err->message);
	guard(vmm_pid(f.vmm));
	/* The kernel shows a program's arguments a moment after its start. */
	if (driver == &vmm_fake)
		SPIN(f.loop, f.exits > 0 || vmm_find(spec->id, &pid, &start) == 0);
}

static void start_as(const struct vmm_driver *driver)
{
	struct vmm_spec spec = make_spec();

	start_spec(driver, &spec);
}

static void start_fake(const char *behaviour)
{
	setenv("BANGER_FAKE_BEHAVIOUR", behaviour, 1);
	setup();
	start_as(&vmm_fake);
}

static void teardown(void)
{
	vmm_call_free(f.call);
	vmm_free(f.vmm);
	loop_free(f.loop);
}

static void kill_and_wait(void)
{
	CHECK_INT(vmm_signal(f.vmm, SIGKILL), 0);
	SPIN(f.loop, f.exits == 1);
}

TEST(exit_status_comes_once)
{
	start_fake("die=0");
	SPIN(f.loop, f.exits == 1);
	CHECK(WIFEXITED(f.status) && WEXITSTATUS(f.status) == 1);
	spin_for(f.loop, 10 * 1000);
	CHECK_INT(f.exits, 1);
	CHECK_INT(vmm_signal(f.vmm, SIGTERM), -ESRCH);
	teardown();
}

TEST(signal_reaches_it)
{
	start_fake("");
	CHECK_INT(vmm_signal(f.vmm, SIGTERM), 0);
	SPIN(f.loop, f.exits == 1);
	CHECK(WIFSIGNALED(f.status) && WTERMSIG(f.status) == SIGTERM);
	teardown();
}

TEST(session_of_its_own)
{
	start_fake("");
	CHECK_INT(getsid(vmm_pid(f.vmm)), vmm_pid(f.vmm));
	kill_and_wait();
	teardown();
}

TEST(found_by_id_only)
{
	uint64_t start;
	pid_t pid;

	start_fake("");
	CHECK_INT(vmm_find(vm_id, &pid, &start), 0);
	CHECK_INT(pid, vmm_pid(f.vmm));
	CHECK_INT(start, vmm_pid_start(f.vmm));
	CHECK_INT(vmm_find("ffffffffffffffffffffffffffffffff", &pid, &start), -ESRCH);
	kill_and_wait();
	CHECK_INT(vmm_find(vm_id, &pid, &start), -ESRCH);
	teardown();
}

TEST(adopted_again)
{
	uint64_t start;
	pid_t pid;

	start_fake("");
	pid = vmm_pid(f.vmm);
	start = vmm_pid_start(f.vmm);
	vmm_free(f.vmm);
	f.vmm = NULL;
	CHECK_INT(kill(pid, 0), 0);
	CHECK_INT(vmm_adopt(f.loop, &vmm_fake, vm_id, f.run_dir, pid, start, on_exit_fn, NULL,
			  &f.vmm),
		0);
	CHECK_INT(vmm_pid(f.vmm), pid);
	CHECK_STR(vmm_run_dir(f.vmm), f.run_dir);
	CHECK(vmm_driver_of(f.vmm) == &vmm_fake);
	kill_and_wait();
	teardown();
}

static void write_pid(int out, const struct vmm_spec *spec)
{
	struct vmm *vmm;
	uint64_t what[2];

	if (vmm_start(f.loop, &vmm_fake, spec, on_exit_fn, NULL, &vmm, NULL) < 0)
		_exit(1);
	what[0] = (uint64_t)vmm_pid(vmm);
	what[1] = vmm_pid_start(vmm);
	_exit(write(out, what, sizeof(what)) == sizeof(what) ? 0 : 1);
}

TEST(adopted_from_another_daemon)
{
	struct vmm_spec spec;
	uint64_t what[2], start;
	int ends[2];
	pid_t pid;

	setenv("BANGER_FAKE_BEHAVIOUR", "", 1);
	setup();
	spec = make_spec();
	CHECK_INT(pipe(ends), 0);
	pid = fork();
	if (pid == 0)
		write_pid(ends[1], &spec);
	CHECK_INT(read(ends[0], what, sizeof(what)), sizeof(what));
	CHECK_INT(waitpid(pid, NULL, 0), pid);
	SPIN(f.loop, vmm_find(vm_id, &pid, &start) == 0);
	CHECK_INT(pid, what[0]);
	CHECK_INT(start, what[1]);
	guard(pid);
	CHECK_INT(vmm_adopt(f.loop, &vmm_fake, vm_id, f.run_dir, (pid_t)what[0], what[1],
			  on_exit_fn, NULL, &f.vmm),
		0);
	kill_and_wait();
	CHECK_INT(f.status, -1); /* not our child */
	teardown();
}

/* A descriptor for the folder, none for what is in it. */
TEST(what_runs_is_not_told_by_a_look_that_failed)
{
	struct rlimit few, all;
	struct vmm_seen *list = NULL;
	size_t n = 0;
	int next, r;

	start_fake("");
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &all), 0);
	next = open("/proc", O_RDONLY | O_CLOEXEC);
	CHECK(next >= 0);
	close(next);
	few = (struct rlimit){(rlim_t)next + 1, all.rlim_max};
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &few), 0);
	r = vmm_list(&list, &n);
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &all), 0);
	CHECK_INT(r, -EMFILE);
	CHECK(!list && n == 0);
	kill_and_wait();
	teardown();
}

static int try_adopt(const char *id, pid_t pid, uint64_t start)
{
	struct vmm *vmm = NULL;
	int r = vmm_adopt(f.loop, &vmm_fake, id, f.run_dir, pid, start, on_exit_fn, NULL, &vmm);

	CHECK((r < 0) == !vmm);
	vmm_free(vmm);
	return r;
}

TEST(another_process_is_not_adopted)
{
	uint64_t start;
	pid_t pid;

	start_fake("");
	pid = vmm_pid(f.vmm);
	start = vmm_pid_start(f.vmm);
	CHECK_INT(try_adopt(vm_id, pid, start + 1), -ESRCH);
	CHECK_INT(try_adopt("ffffffffffffffffffffffffffffffff", pid, start), -ESRCH);
	CHECK_INT(try_adopt(vm_id, getpid(), start), -ESRCH);
	CHECK_INT(try_adopt(vm_id, 0, 0), -ESRCH);
	kill_and_wait();
	CHECK_INT(try_adopt(vm_id, pid, start), -ESRCH);
	teardown();
}

TEST(missing_binary)
{
	_err_ struct bg_err *err = NULL;
	struct vmm_spec spec;

	setup();
	spec = make_spec();
	spec.binary = "/nonexistent/vmm";
	CHECK(vmm_start(f.loop, &vmm_fake, &spec, on_exit_fn, NULL, &f.vmm, &err) < 0);
	CHECK(strstr(err->message, "\"test\"") && strstr(err->message, "/nonexistent/vmm"));
	teardown();
}

TEST(long_run_dir_is_refused)
{
	_err_ struct bg_err *err = NULL;
	struct vmm_spec spec;
	char dir[130];

	setup();
	memset(dir, 'd', sizeof(dir) - 1);
	dir[0] = '/';
	dir[sizeof(dir) - 1] = '\0';
	make_kernel();
	spec = make_spec();
	spec.run_dir = dir;
	CHECK_INT(
		vmm_start(f.loop, &vmm_qemu, &spec, on_exit_fn, NULL, &f.vmm, &err), -ENAMETOOLONG);
	CHECK(strstr(err->message, "socket path"));
	teardown();
}

TEST(fake_command_completes)
{
	start_fake("");
	CHECK_INT(vmm_send_command(f.vmm, VMM_PAUSE, on_done, NULL, &f.call, NULL), 0);
	CHECK_INT(f.completed, 0);
	SPIN(f.loop, f.completed == 1);
	CHECK(f.ok);
	kill_and_wait();
	teardown();
}

static void on_guest(
	struct guest *guest, bool connected, uint32_t flags, uint32_t uptime_ms, void *userdata)
{
	f.drops += !connected;
}

static void on_guest_done(const struct bg_err *err, void *userdata)
{
	f.completed++;
	f.ok = !err;
}

static struct guest *open_fake_guest(void)
{
	_free_ char *path = NULL;
	struct guest_target target = {.carrier = vmm_fake.agent, .vm_id = vm_id};
	struct guest *guest;

	CHECK(asprintf(&path, "%s/%s", f.run_dir, vmm_fake.agent_socket) > 0);
	target.socket_path = path;
	CHECK_INT(guest_open(f.loop, &target, on_guest, NULL, &guest, NULL), 0);
	return guest;
}

/* The words of fake-vmm do what its head says: tests of a VM's life rely on them. */
TEST(fake_guest_shuts_down)
{
	struct guest_call *call;
	struct guest *guest;

	start_fake("ready=50 test:no-sshd other:never-ready");
	guest = open_fake_guest();
	SPIN(f.loop, guest_flags(guest) & BG_AGENT_F_NO_SSHD);
	CHECK_INT(guest_shutdown(guest, BG_AGENT_POWEROFF, 30 * 1000 * 1000, on_guest_done, NULL,
			  &call, NULL),
		0);
	SPIN(f.loop, f.completed == 1 && f.exits == 1);
	CHECK(f.ok);
	CHECK_INT(f.status, 0);
	guest_call_free(call);
	guest_free(guest);
	teardown();
}

TEST(fake_guest_ignores_shutdown_and_reboots)
{
	struct guest_call *call;
	struct guest *guest;

	start_fake("ignore-shutdown ignore-term reboot=300");
	guest = open_fake_guest();
	SPIN(f.loop, guest_flags(guest) & BG_AGENT_F_SSHD);
	CHECK_INT(guest_shutdown(guest, BG_AGENT_POWEROFF, 30 * 1000 * 1000, on_guest_done, NULL,
			  &call, NULL),
		0);
	SPIN(f.loop, f.completed == 1);
	CHECK_INT(vmm_signal(f.vmm, SIGTERM), 0);
	SPIN(f.loop, f.drops == 1 && guest_connected(guest)); /* the reboot */
	CHECK_INT(f.exits, 0);
	kill_and_wait();
	guest_call_free(call);
	guest_free(guest);
	teardown();
}

TEST(names)
{
	enum vmm_accel accel;

	CHECK(vmm_driver_by_name("qemu") == &vmm_qemu);
	CHECK(vmm_driver_by_name("firecracker") == &vmm_firecracker);
	CHECK(!vmm_driver_by_name("xen"));
	CHECK_INT(vmm_accel_parse("tcg", &accel), 0);
	CHECK_INT(accel, VMM_ACCEL_TCG);
	CHECK_INT(vmm_accel_parse("hvf", &accel), -EINVAL);
}

TEST(time_stamp_counter_is_measured)
{
	unsigned a = vmm_tsc_khz(), b;

	setup();
	spin_for(f.loop, 30 * 1000); /* a longer measure must agree with the short one */
	b = vmm_tsc_khz();
	printf("# %u kHz, then %u kHz\n", a, b);
	CHECK(a > 100000 && b > 100000);
	CHECK(a < b + b / 50 && b < a + a / 50);
	CHECK_INT(vmm_tsc_khz(), b);
	teardown();
}

static void setup_qemu(void)
{
	setup();
	snprintf(f.binary, sizeof(f.binary), "/usr/bin/qemu-system-x86_64");
	if (access(f.binary, X_OK) < 0)
		test_skip("%s is not installed", f.binary);
	make_kernel();
}

TEST(qemu_refuses_a_dummy_kernel)
{
	_free_ char *text = NULL;
	char disk[150];
	struct vmm_spec spec;

	setup_qemu();
	snprintf(disk, sizeof(disk), "%s/disk", f.run_dir);
	CHECK_INT(rename(f.kernel, disk), 0);
	spec = make_spec();
	spec.disk_root = disk;
	start_spec(&vmm_qemu, &spec);
	SPIN(f.loop, f.exits == 1);
	CHECK(WIFEXITED(f.status) && WEXITSTATUS(f.status) == 1);
	CHECK_INT(bg_read_file_at(AT_FDCWD, f.log, 64 * 1024, &text, NULL), 0);
	CHECK(strstr(text, f.kernel)); /* the log says what it missed */
	teardown();
}

/* A boot sector signature and a setup header that is enough for QEMU to start; the guest then runs
 * zeros. */
static void make_bzimage(void)
{
	static char bytes[64 * 1024];

	bytes[0x1f1] = 1; /* setup sectors */
	memcpy(bytes + 0x1fe, "\x55\xaa", 2);
	memcpy(bytes + 0x202, "HdrS\x0c\x02", 6);     /* boot protocol 2.12 */
	bytes[0x211] = 1;			      /* loaded high */
	memcpy(bytes + 0x22c, "\xff\xff\xff\x7f", 4); /* where an initrd may end */
	CHECK_INT(bg_write_file_at(AT_FDCWD, f.kernel, bytes, sizeof(bytes), 0600), 0);
}

static void send_and_wait(enum vmm_command command)
{
	unsigned before = f.completed;

	CHECK_INT(vmm_send_command(f.vmm, command, on_done, NULL, &f.call, NULL), 0);
	SPIN(f.loop, f.completed == before + 1);
	if (!f.ok)
		test_fail(__FILE__, __LINE__, "%s", f.message);
	vmm_call_free(f.call);
	f.call = NULL;
}

/* The whole command line with sandbox, disks, sockets; pause and resume over QMP; adoption; kill.
 */
TEST(qemu_runs_pauses_and_is_adopted)
{
	uint64_t start;
	char agent[150];
	pid_t pid;

	setup_qemu();
	make_bzimage();
	start_as(&vmm_qemu);
	send_and_wait(VMM_PAUSE);
	send_and_wait(VMM_RESUME);
	snprintf(agent, sizeof(agent), "%s/%s", f.run_dir, vmm_qemu.agent_socket);
	CHECK_INT(access(agent, F_OK), 0);
	CHECK_INT(access(f.serial, F_OK), 0);
	CHECK_INT(vmm_find(vm_id, &pid, &start), 0);
	vmm_free(f.vmm);
	f.vmm = NULL;
	CHECK_INT(vmm_adopt(f.loop, &vmm_qemu, vm_id, f.run_dir, pid, start, on_exit_fn, NULL,
			  &f.vmm),
		0);
	send_and_wait(VMM_PAUSE);
	CHECK_INT(f.exits, 0);
	kill_and_wait();
	teardown();
}

TEST(qemu_takes_all_devices)
{
	struct vmm_spec spec;
	char work[150], modules[150];
	static char disk[65536];

	setup_qemu();
	make_bzimage();
	snprintf(work, sizeof(work), "%s/work,1.img", f.run_dir);
	snprintf(modules, sizeof(modules), "%s/modules.img", f.run_dir);
	CHECK_INT(bg_write_file_at(AT_FDCWD, work, disk, sizeof(disk), 0600), 0);
	CHECK_INT(bg_write_file_at(AT_FDCWD, modules, disk, sizeof(disk), 0400), 0);
	spec = make_spec();
	spec.disk_work = work;
	spec.disk_modules = modules;
	start_spec(&vmm_qemu, &spec);
	send_and_wait(VMM_PAUSE);
	kill_and_wait();
	teardown();
}

static void resize_and_wait(const char *disk, uint64_t bytes)
{
	unsigned before = f.completed;

	CHECK_INT(vmm_resize(f.vmm, disk, f.kernel, bytes, on_done, NULL, &f.call, NULL), 0);
	SPIN(f.loop, f.completed == before + 1);
	vmm_call_free(f.call);
	f.call = NULL;
}

/* By the name that its blockdev has, and the file as long as it was made before. */
TEST(qemu_grows_a_disk)
{
	struct stat st;

	setup_qemu();
	make_bzimage();
	start_as(&vmm_qemu);
	send_and_wait(VMM_PAUSE);
	CHECK_INT(truncate(f.kernel, 4 * (off_t)MIB), 0);
	resize_and_wait("root", 4 * MIB);
	CHECK(f.ok);
	CHECK_INT(stat(f.kernel, &st), 0);
	CHECK_INT(st.st_size, 4 * MIB);
	resize_and_wait("nosuch", 4 * MIB);
	CHECK(!f.ok && strstr(f.message, "nosuch"));
	kill_and_wait();
	teardown();
}

/* Two VMs on one disk: QEMU's lock says no. */
TEST(qemu_locks_disks)
{
	_free_ char *text = NULL;
	struct vmm *first;

	setup_qemu();
	make_bzimage();
	start_as(&vmm_qemu);
	send_and_wait(VMM_PAUSE);
	first = f.vmm;
	start_as(&vmm_qemu);
	SPIN(f.loop, f.exits == 1);
	CHECK(WIFEXITED(f.status) && WEXITSTATUS(f.status) == 1);
	CHECK_INT(bg_read_file_at(AT_FDCWD, f.log, 64 * 1024, &text, NULL), 0);
	CHECK(strstr(text, "lock"));
	vmm_free(f.vmm);
	f.vmm = first;
	f.exits = 0;
	kill_and_wait();
	teardown();
}

/* A Firecracker whose API is played here: the fake VMM's process lends its pid. */
static int api_listener(void)
{
	char path[150];

	snprintf(path, sizeof(path), "%s/api.sock", f.run_dir);
	return spin_listen(path);
}

static void start_as_firecracker(void)
{
	uint64_t start;
	pid_t pid;

	start_fake("");
	pid = vmm_pid(f.vmm);
	start = vmm_pid_start(f.vmm);
	vmm_free(f.vmm);
	CHECK_INT(vmm_adopt(f.loop, &vmm_firecracker, vm_id, f.run_dir, pid, start, on_exit_fn,
			  NULL, &f.vmm),
		0);
}

static void answer_at(const char *request, const char *expect, const char *reply)
{
	_close_ int listener = api_listener();
	_close_ int peer = -1;
	char text[1024];
	ssize_t n;

	SPIN(f.loop, spin_readable(listener));
	peer = accept(listener, NULL, NULL);
	SPIN(f.loop, spin_readable(peer));
	n = read(peer, text, sizeof(text) - 1);
	CHECK(n > 0);
	text[n] = '\0';
	CHECK(strstr(text, request) == text);
	CHECK(strstr(text, expect));
	/* In two pieces: the answer is waited for until it is whole. */
	CHECK_INT(write(peer, reply, 20), 20);
	spin_for(f.loop, 10 * 1000);
	CHECK_INT(f.completed, 0);
	CHECK(write(peer, reply + 20, strlen(reply) - 20) > 0);
	SPIN(f.loop, f.completed == 1);
}

static void answer_api(const char *expect, const char *reply)
{
	answer_at("PATCH /vm HTTP/1.1\r\n", expect, reply);
}

TEST(firecracker_looks_at_a_disk_again)
{
	start_as_firecracker();
	CHECK_INT(vmm_resize(f.vmm, "root", "/a/\"disk\"", MIB, on_done, NULL, &f.call, NULL), 0);
	answer_at("PATCH /drives/root HTTP/1.1\r\n",
		"{\"drive_id\":\"root\",\"path_on_host\":\"/a/\\\"disk\\\"\"}",
		"HTTP/1.1 204 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n\r\n");
	CHECK(f.ok);
	kill_and_wait();
	teardown();
}

TEST(firecracker_api_success)
{
	start_as_firecracker();
	CHECK_INT(vmm_send_command(f.vmm, VMM_PAUSE, on_done, NULL, &f.call, NULL), 0);
	answer_api("{\"state\":\"Paused\"}",
		"HTTP/1.1 204 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n\r\n");
	CHECK(f.ok);
	kill_and_wait();
	teardown();
}

TEST(firecracker_api_refusal)
{
	start_as_firecracker();
	CHECK_INT(vmm_send_command(f.vmm, VMM_RESUME, on_done, NULL, &f.call, NULL), 0);
	answer_api("{\"state\":\"Resumed\"}",
		"HTTP/1.1 400 \r\nContent-Type: application/json\r\nContent-Length: "
		"33\r\n\r\n{\"fault_message\": \"no such state\"}");
	CHECK(!f.ok);
	CHECK(strstr(f.message, "no such state"));
	kill_and_wait();
	teardown();
}

TEST(control_socket_that_never_comes)
{
	start_as_firecracker();
	CHECK_INT(vmm_send_command(f.vmm, VMM_PAUSE, on_done, NULL, &f.call, NULL), 0);
	SPIN(f.loop, f.completed == 1); /* after VMM_CALL_USEC */
	CHECK(!f.ok);
	CHECK(strstr(f.message, "api.sock"));
	kill_and_wait();
	teardown();
}

TEST(command_freed_in_flight)
{
	start_as_firecracker();
	CHECK_INT(vmm_send_command(f.vmm, VMM_PAUSE, on_done, NULL, &f.call, NULL), 0);
	spin_for(f.loop, 30 * 1000);
	vmm_call_free(f.call);
	f.call = NULL;
	CHECK_INT(f.completed, 0);
	kill_and_wait();
	teardown();
}
