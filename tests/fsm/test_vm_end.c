/* SPDX-License-Identifier: ISC */
/*
 * How a VM ends that nobody asked to: its VMM is killed, its guest reboots or halts, seen by a daemon or between two; and
 * what its console said last, from files that are kept short.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "daemon/vm/console.h"
#include "tests/fsm/world.h"
#include "tests/lib/test.h"

static struct world w;

static struct vm *vm(const char *name)
{
	return vms_find(w.engine.vms, name);
}

static bool is_down(struct world *world, void *userdata)
{
	return vm("a")->row->state == VM_STOPPED && vm("a")->row->slot < 0 && !vm("a")->op;
}

TEST(vmm_killed_from_outside)
{
	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_INT(kill((pid_t)vm("a")->row->pid, SIGKILL), 0);
	world_run(&w, is_down, NULL);
	CHECK_STR(bg_err_code_str(vm("a")->error->code), "vmm.died");
	CHECK_INT(net_fake_attached(w.engine.net), 0);
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_DONE);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

static bool has_booted_again(struct world *world, void *userdata)
{
	const int64_t *old = userdata;

	return vm("a")->row->pid != *old && vm("a")->row->state == VM_RUNNING && vm("a")->ready &&
	       !vm("a")->op;
}

TEST(guest_reboots_and_its_vmm_ends)
{
	int64_t pid;

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	pid = vm("a")->row->pid;
	CHECK_INT(kill((pid_t)pid, SIGUSR1), 0);
	world_run(&w, has_booted_again, &pid);
	CHECK(!vm("a")->error);
	CHECK_INT(vm("a")->row->slot, 0);
	world_expect_children(&w, 1);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
}

/* With no daemon to see it, the next one makes up for it. */
TEST(guest_reboots_between_two_daemons)
{
	int64_t pid;
	int status;

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	pid = vm("a")->row->pid;
	CHECK_INT(kill((pid_t)pid, SIGUSR1), 0); /* nobody looks: the loop does not run */
	CHECK_INT(waitpid((pid_t)pid, &status, 0), pid);
	CHECK_INT(status, 0);
	world_reopen(&w);
	world_run(&w, has_booted_again, &pid);
	CHECK(!vm("a")->error);
}

TEST(reset_of_a_killed_vmm_is_no_reboot)
{
	int64_t pid;

	world_open(&w, NULL);
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	pid = vm("a")->row->pid;
	CHECK_INT(bg_write_file_at(AT_FDCWD, vm("a")->paths.serial_log,
			  "reboot: Restarting system\n", 26, 0600),
		0);
	CHECK_INT(kill((pid_t)pid, SIGKILL), 0);
	world_run(&w, is_down, NULL);
	CHECK_STR(bg_err_code_str(vm("a")->error->code), "vmm.died");
}

static void halt_a_guest(struct console *console)
{
	w.engine.console = console;
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_INT(kill((pid_t)vm("a")->row->pid, SIGUSR2), 0);
	world_run(&w, is_down, NULL);
	CHECK(!vm("a")->error);
	CHECK_INT(console_end_of_vm(vm("a")), CONSOLE_HALTED);
	CHECK_INT(world_ask(&w, "a", VM_EV_START), OP_DONE);
	/* What the start before said last is not this one's end. */
	CHECK_INT(console_end_of_vm(vm("a")), CONSOLE_GOES_ON);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
	w.engine.console = NULL;
	console_free(console);
}

TEST(halted_guest_is_stopped)
{
	struct console *console = NULL;

	world_open(&w, NULL);
	CHECK_INT(console_new(&w.engine, &console, NULL), 0);
	halt_a_guest(console);
}

/* Where the host gives no inotify, the logs are looked at all the same. */
TEST(halted_guest_is_stopped_without_inotify)
{
	struct rlimit limit, none;
	struct console *console = NULL;

	world_open(&w, NULL);
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
	none = (struct rlimit){.rlim_cur = 0, .rlim_max = limit.rlim_max};
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &none), 0);
	CHECK_INT(console_new(&w.engine, &console, NULL), 0);
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
	halt_a_guest(console);
}

enum { TOO_LONG = BG_VM_LOG_MAX + (1 << 20) };

static bool is_cut(const char *path)
{
	struct stat st;

	CHECK_INT(stat(path, &st), 0);
	return st.st_size >= TOO_LONG && st.st_blocks * 512 < BG_VM_LOG_MAX;
}

static bool are_cut(struct world *world, void *userdata)
{
	return is_cut(vm("a")->paths.serial_log) && is_cut(vm("a")->paths.vmm_log);
}

/* One is cut at a time, and nothing more is said that would remind of the other. */
TEST(both_logs_are_cut)
{
	_free_ char *text = malloc(TOO_LONG);
	struct console *console = NULL;

	CHECK(text);
	memset(text, 'x', TOO_LONG);
	world_open(&w, NULL);
	CHECK_INT(console_new(&w.engine, &console, NULL), 0);
	w.engine.console = console;
	CHECK_INT(world_create(&w, "a", true), OP_DONE);
	CHECK_INT(bg_write_file_at(AT_FDCWD, vm("a")->paths.serial_log, text, TOO_LONG, 0600), 0);
	CHECK_INT(bg_write_file_at(AT_FDCWD, vm("a")->paths.vmm_log, text, TOO_LONG, 0600), 0);
	console_watch(console, vm("a")); /* the files are others now */
	world_run(&w, are_cut, NULL);
	CHECK_INT(world_ask(&w, "a", VM_EV_DELETE), OP_DONE);
	world_check_empty(&w);
	w.engine.console = NULL;
	console_free(console);
}

TEST(what_a_console_says_last)
{
	static const struct {
		const char *text;
		enum console_end end;
	} rows[] = {
		{"", CONSOLE_GOES_ON},
		{"login: ", CONSOLE_GOES_ON},
		{"[  9.1] reboot: System halted\r\n", CONSOLE_HALTED},
		{"[  9.1] reboot: Power down\r\n", CONSOLE_HALTED},
		{"reboot: Power off not available: System halted instead\n", CONSOLE_HALTED},
		{"[  9.1] reboot: Restarting system\r\n", CONSOLE_RESET},
		{"reboot: Restarting system with command 'kexec'\nreboot: machine restart\n",
			CONSOLE_RESET},
		{"[  1.0] Kernel panic - not syncing: Fatal\nCPU: 0 PID: 1\n", CONSOLE_RESET},
	};
	char text[1024];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		CHECK_INT(console_end_of(rows[i].text, strlen(rows[i].text)), rows[i].end);
	/* It was said before, and life went on. */
	memset(text, 'x', sizeof(text));
	memcpy(text, "reboot: System halted\n", 22);
	CHECK_INT(console_end_of(text, sizeof(text)), CONSOLE_GOES_ON);
}
