/* SPDX-License-Identifier: ISC */
/* See console.h. One ticker for all VMs; a console that said nothing new costs two stats. */
#include "daemon/vm/console.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/log.h"
#include "daemon/driver/vmm.h"
#include "daemon/engine.h"
#include "daemon/logfile.h"

/* LAST: after one of these lines a kernel says nothing more of length. PANIC: its report is longer.
 */
enum { TICK_USEC = 1000000, LAST_BYTES = 256, PANIC_BYTES = 6144 };

struct console {
	struct engine *engine;
	struct loop_source *ticker;
	struct job *cut; /* a log loses its beginning; one at a time */
};

/* Linux: kernel/reboot.c, kernel/panic.c. Emergencies all, so that "quiet" leaves them. */
static const struct saying {
	const char *text;
	size_t within; /* bytes from the end */
	enum console_end end;
} sayings[] = {
	{"reboot: System halted", LAST_BYTES, CONSOLE_HALTED},
	{"reboot: Power off not available: System halted instead", LAST_BYTES, CONSOLE_HALTED},
	{"reboot: Power down", LAST_BYTES, CONSOLE_HALTED},
	{"reboot: Restarting system", LAST_BYTES, CONSOLE_RESET},
	{"Kernel panic - not syncing", PANIC_BYTES, CONSOLE_RESET},
};

enum console_end console_end_of(const char *text, size_t len)
{
	for (size_t i = 0; i < ARRAY_SIZE(sayings); i++) {
		size_t within = BG_MIN(len, sayings[i].within);

		if (memmem(text + len - within, within, sayings[i].text, strlen(sayings[i].text)))
			return sayings[i].end;
	}
	return CONSOLE_GOES_ON;
}

/* begin: what lies before is of earlier starts. */
static enum console_end end_of_file(int fd, off_t begin, off_t size)
{
	char text[PANIC_BYTES];
	off_t from = BG_MAX(begin, size > PANIC_BYTES ? size - PANIC_BYTES : 0);
	ssize_t n = size > from ? pread(fd, text, sizeof(text), from) : 0;

	return n > 0 ? console_end_of(text, (size_t)n) : CONSOLE_GOES_ON;
}

enum console_end console_end_of_vm(const struct vm *vm)
{
	_close_ int fd = open(vm->paths.serial_log, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) >= 0
		       ? end_of_file(fd, (off_t)vm->row->boot_serial, st.st_size)
		       : CONSOLE_GOES_ON;
}

static void end_halted(struct vm *vm)
{
	log_msg(LOG_INFO, "console", "the guest has halted: ending its VMM", "vm", vm->row->name,
		NULL);
	vm->halted = true;
	(void)vmm_signal(vm->vmm, SIGKILL); /* ESRCH: it went by itself */
}

static void on_cut(const json_t *result, struct bg_err *err, void *userdata)
{
	struct console *console = userdata;

	(void)result;
	if (err)
		log_err(LOG_WARN, "console", "a log's beginning cannot be dropped", err);
	job_free(TAKE_PTR(console->cut));
}

static void bound(struct console *console, const struct vm *vm, const char *path)
{
	_err_ struct bg_err *err = NULL;
	_close_ int fd = -1;
	uint64_t cut;

	if (console->cut || logfile_too_long(path, BG_VM_LOG_MAX, BG_VM_LOG_KEEP, &fd, &cut) <= 0)
		return;
	log_msg(LOG_INFO, "console", "the log's beginning is dropped", "vm", vm->row->name, "path",
		path, NULL);
	if (job_start(console->engine->jobs, JOB_CUT, json_pack("{s:I}", "bytes", (json_int_t)cut),
		    &fd, 1, NULL, on_cut, console, &console->cut, &err) < 0)
		log_err(LOG_WARN, "console", vm->row->name, err);
}

static void look_at(struct console *console, struct vm *vm)
{
	struct stat st;

	if (stat(vm->paths.serial_log, &st) < 0 || st.st_size == vm->console_size)
		return;
	vm->console_size = st.st_size;
	bound(console, vm, vm->paths.serial_log);
	if (!vm->halted && console_end_of_vm(vm) == CONSOLE_HALTED)
		end_halted(vm);
}

static void on_tick(void *userdata)
{
	struct console *console = userdata;

	for (struct vm *vm = vms_first(console->engine->vms); vm; vm = vm->next) {
		if (!vm->vmm)
			continue;
		look_at(console, vm);
		bound(console, vm, vm->paths.vmm_log);
	}
}

int console_new(struct engine *engine, struct console **ret, struct bg_err **err)
{
	struct console *console = calloc(1, sizeof(*console));
	int r;

	if (!console)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	console->engine = engine;
	r = loop_add_ticker(engine->loop, "console", TICK_USEC, on_tick, console, &console->ticker);
	if (r < 0) {
		free(console);
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "watch the consoles");
	}
	*ret = console;
	return 0;
}

void console_free(struct console *console)
{
	if (!console)
		return;
	loop_source_free(console->ticker);
	job_free(console->cut);
	free(console);
}
