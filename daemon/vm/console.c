/* SPDX-License-Identifier: ISC */
/* See console.h. One inotify descriptor for all VMs says only that some log grew; then each log is looked at. */
#include "daemon/vm/console.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "common/fd.h"
#include "common/log.h"
#include "daemon/driver/vmm.h"
#include "daemon/engine.h"
#include "daemon/logfile.h"

/* LAST: after one of these lines a kernel says nothing more of length. PANIC: its report is longer.
 */
enum { LOOK_USEC = 1000000, LAST_BYTES = 256, PANIC_BYTES = 6144 };

struct console {
	struct engine *engine;
	int inotify;
	struct loop_source *source; /* silent until the look that is due */
	struct loop_source *due;    /* the next look; a ticker when blind */
	bool blind;		    /* logs cannot be watched */
	bool again;		    /* a log is too long that could not be cut with the other one */
	struct job *cut;	    /* a log loses its beginning; one at a time */
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

static void look_soon(struct console *console);

static void on_cut(const json_t *result, struct bg_err *err, void *userdata)
{
	struct console *console = userdata;
	bool failed = err != NULL;

	(void)result;
	if (err)
		log_err(LOG_WARN, "console", "a log's beginning cannot be dropped", err);
	job_free(TAKE_PTR(console->cut));
	if (!failed && console->again)
		look_soon(console); /* its VM may never say anything more */
	console->again = false;
}

static void bound(struct console *console, const struct vm *vm, const char *path)
{
	_err_ struct bg_err *err = NULL;
	_close_ int fd = -1;
	uint64_t cut;

	if (logfile_too_long(path, BG_VM_LOG_MAX, BG_VM_LOG_KEEP, &fd, &cut) <= 0)
		return;
	console->again = console->cut != NULL;
	if (console->again)
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

	bound(console, vm, vm->paths.serial_log);
	if (stat(vm->paths.serial_log, &st) < 0 || st.st_size == vm->console_size)
		return;
	vm->console_size = st.st_size;
	if (!vm->halted && console_end_of_vm(vm) == CONSOLE_HALTED)
		end_halted(vm);
}

static void drain(int fd)
{
	char text[4096];

	while (read(fd, text, sizeof(text)) > 0)
		;
}

static void on_due(void *userdata)
{
	struct console *console = userdata;

	if (!console->blind)
		loop_source_free(TAKE_PTR(console->due));
	if (console->source) {
		drain(console->inotify);
		(void)loop_source_set_events(console->source, LOOP_READ);
	}
	for (struct vm *vm = vms_first(console->engine->vms); vm; vm = vm->next) {
		if (!vm->vmm)
			continue;
		look_at(console, vm);
		bound(console, vm, vm->paths.vmm_log);
	}
}

/* All that is said within the next second is one look. */
static void look_soon(struct console *console)
{
	if (console->due)
		return;
	if (loop_add_timer(console->engine->loop, "console", LOOK_USEC, on_due, console,
		    &console->due) < 0)
		log_msg(LOG_ERROR, "console", "out of memory: the consoles are not watched", NULL);
	else if (console->source)
		(void)loop_source_set_events(console->source, 0);
}

static void on_news(int fd, unsigned events, void *userdata)
{
	struct console *console = userdata;

	(void)events;
	look_soon(console);
	if (!console->due)
		drain(fd); /* else we were called again at once */
}

/* The host has no more watches for us: every log is looked at every second, for good. */
static void go_blind(struct console *console, int errnum)
{
	if (console->blind)
		return;
	log_msg(LOG_WARN, "console", "logs cannot be watched: looking at them every second", "why",
		strerror(errnum), NULL);
	loop_source_free(TAKE_PTR(console->source));
	loop_source_free(TAKE_PTR(console->due));
	console->blind = loop_add_ticker(console->engine->loop, "console", LOOK_USEC, on_due,
				 console, &console->due) >= 0;
}

void console_watch(struct console *console, const struct vm *vm)
{
	const char *logs[] = {vm->paths.serial_log, vm->paths.vmm_log};

	if (!console)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(logs); i++) {
		/* A log that nobody has made yet cannot be watched; VMMs append. */
		_close_ int fd = open(logs[i],
			O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW | O_NOCTTY, 0600);

		/* The same file twice is one watch; it goes with the file. */
		if (fd < 0 || inotify_add_watch(console->inotify, logs[i], IN_MODIFY) < 0)
			go_blind(console, errno);
	}
	look_soon(console); /* what was said before we listened */
}

int console_new(struct engine *engine, struct console **ret, struct bg_err **err)
{
	_unref_(console) struct console *console = calloc(1, sizeof(*console));
	int r;

	if (!console)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	console->engine = engine;
	console->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (console->inotify >= 0) {
		r = loop_add_fd(engine->loop, "console", console->inotify, LOOP_READ, on_news,
			console, &console->source);
		if (r < 0)
			return bg_err_sys(err, BG_ERR_INTERNAL, -r, "watch the consoles");
	} else {
		go_blind(console, errno);
		if (!console->blind)
			return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	}
	*ret = TAKE_PTR(console);
	return 0;
}

void console_free(struct console *console)
{
	if (!console)
		return;
	loop_source_free(console->source);
	loop_source_free(console->due);
	job_free(console->cut);
	bg_close(console->inotify);
	free(console);
}
