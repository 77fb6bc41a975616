/* SPDX-License-Identifier: ISC */
/* See vmm.h. The process side: identity, start, adoption, signals, exit. Control sockets:
 * vmm_call.c. */
#include "daemon/driver/vmm.h"

#include <assert.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "common/fd.h"
#include "daemon/driver/vmm_impl.h"

/* /proc/PID/cmdline: a VMM's is below 8 KiB; what does not fit is not ours. */
enum { CMDLINE_MAX = 64 * 1024, STAT_MAX = 4096 };

struct vmm {
	struct loop *loop;
	const struct vmm_driver *driver;
	char *run_dir;
	pid_t pid;
	int pidfd;
	int tap; /* -1: adopted, no network, or the VMM opened it by name */
	uint64_t pid_start;
	struct loop_source *exit_source;
	vmm_exit_fn exited;
	void *userdata;
};

static const char *const accel_names[] = {[VMM_ACCEL_KVM] = "kvm", [VMM_ACCEL_TCG] = "tcg"};
static_assert(ARRAY_SIZE(accel_names) == VMM_ACCEL_MAX_, "one name per accelerator");

static const struct vmm_driver *const drivers[] = {&vmm_qemu, &vmm_firecracker, &vmm_fake};

const char *vmm_accel_str(enum vmm_accel accel)
{
	assert((unsigned)accel < ARRAY_SIZE(accel_names));
	return accel_names[accel];
}

int vmm_accel_parse(const char *word, enum vmm_accel *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(accel_names); i++) {
		if (!bg_streq(accel_names[i], word))
			continue;
		*ret = (enum vmm_accel)i;
		return 0;
	}
	return -EINVAL;
}

const struct vmm_driver *vmm_driver_by_name(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(drivers); i++)
		if (bg_streq(drivers[i]->name, name))
			return drivers[i];
	return NULL;
}

void vmm_tag(const char *id, char ret[VMM_TAG_SIZE])
{
	snprintf(ret, VMM_TAG_SIZE, "%s%s", VMM_TAG_PREFIX, id);
}

static int read_proc(pid_t pid, const char *file, size_t max, char **ret, size_t *ret_len)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	return bg_read_file_at(AT_FDCWD, path, max, ret, ret_len);
}

/* Field 22 of /proc/PID/stat (proc(5)); the name in field 2 may hold spaces and brackets. */
static int read_start(pid_t pid, uint64_t *ret)
{
	_free_ char *text = NULL;
	unsigned long long start;
	const char *p;
	int r = read_proc(pid, "stat", STAT_MAX, &text, NULL);

	if (r < 0)
		return r;
	p = strrchr(text, ')');
	if (!p || sscanf(p + 1,
			  " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
			  "%*d %*d %llu",
			  &start) != 1)
		return -EPROTO;
	*ret = start;
	return 0;
}

/* Is there "-name TAG" (QEMU, fake) or "--id TAG" (Firecracker) among the arguments? */
static bool cmdline_has_tag(const char *args, size_t len, const char *tag)
{
	const char *before = "";

	for (const char *p = args; p < args + len; p += strlen(p) + 1) {
		if (bg_streq(p, tag) && (bg_streq(before, "-name") || bg_streq(before, "--id")))
			return true;
		before = p;
	}
	return false;
}

static bool is_vmm_of(pid_t pid, const char *id)
{
	_free_ char *args = NULL;
	char tag[VMM_TAG_SIZE];
	size_t len;

	if (read_proc(pid, "cmdline", CMDLINE_MAX, &args, &len) < 0)
		return false;
	vmm_tag(id, tag);
	return cmdline_has_tag(args, len, tag);
}

/* By the status file: the owner of /proc/PID is root when the process is not dumpable. */
static bool is_ours(pid_t pid)
{
	_free_ char *text = NULL;
	unsigned uid;
	const char *p;

	if (read_proc(pid, "status", STAT_MAX * 4, &text, NULL) < 0)
		return false;
	p = strstr(text, "\nUid:");
	return p && sscanf(p, "\nUid: %u", &uid) == 1 && uid == getuid();
}

int vmm_find(const char *id, pid_t *ret_pid, uint64_t *ret_start)
{
	DIR *dir = opendir("/proc");
	const struct dirent *de;
	int r = -ESRCH;

	if (!dir)
		return -errno;
	while (r == -ESRCH && (de = readdir(dir))) {
		pid_t pid = isdigit((unsigned char)de->d_name[0]) ? (pid_t)atoi(de->d_name) : 0;
		uint64_t start;

		if (pid <= 0 || !is_vmm_of(pid, id) || !is_ours(pid) || read_start(pid, &start) < 0)
			continue;
		*ret_pid = pid;
		*ret_start = start;
		r = 0;
	}
	closedir(dir);
	return r;
}

/* The tag among the arguments, after the one that says which driver starts so. */
static bool read_tag(pid_t pid, struct vmm_seen *ret)
{
	_free_ char *args = NULL;
	const char *before = "";
	size_t len;

	if (read_proc(pid, "cmdline", CMDLINE_MAX, &args, &len) < 0)
		return false;
	for (const char *p = args; p < args + len; p += strlen(p) + 1) {
		bool named = bg_streq(before, "-name"), id = bg_streq(before, "--id");

		before = p;
		if ((!named && !id) || strncmp(p, VMM_TAG_PREFIX, strlen(VMM_TAG_PREFIX)) != 0 ||
			strlen(p) != strlen(VMM_TAG_PREFIX) + BG_ID_LEN)
			continue;
		snprintf(ret->id, sizeof(ret->id), "%s", p + strlen(VMM_TAG_PREFIX));
		ret->driver = id ? "firecracker" : "qemu";
		return true;
	}
	return false;
}

int vmm_list(struct vmm_seen **ret, size_t *ret_n)
{
	_free_ struct vmm_seen *list = NULL;
	DIR *dir = opendir("/proc");
	const struct dirent *de;
	size_t n = 0;

	if (!dir)
		return -errno;
	while ((de = readdir(dir))) {
		struct vmm_seen found = {.pid = (pid_t)strtol(de->d_name, NULL, 10)};
		struct vmm_seen *more;

		if (found.pid <= 0 || !read_tag(found.pid, &found) || !is_ours(found.pid) ||
			read_start(found.pid, &found.start) < 0)
			continue;
		more = reallocarray(list, n + 1, sizeof(*list));
		if (!more)
			break;
		list = more;
		list[n++] = found;
	}
	closedir(dir);
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}

static void on_exit_event(pid_t pid, int status, void *userdata)
{
	struct vmm *vmm = userdata;

	vmm->exited(vmm, status, vmm->userdata);
}

static int vmm_new(struct loop *loop, const struct vmm_driver *driver, const char *run_dir,
	vmm_exit_fn exited, void *userdata, struct vmm **ret)
{
	struct vmm *vmm = calloc(1, sizeof(*vmm));

	if (!vmm)
		return -ENOMEM;
	*vmm = (struct vmm){.loop = loop,
		.driver = driver,
		.pidfd = -1,
		.tap = -1,
		.exited = exited,
		.userdata = userdata};
	vmm->run_dir = strdup(run_dir);
	if (!vmm->run_dir) {
		vmm_free(vmm);
		return -ENOMEM;
	}
	*ret = vmm;
	return 0;
}

static int watch(struct vmm *vmm)
{
	return loop_add_exit(
		vmm->loop, "vmm exit", vmm->pid, vmm->pidfd, on_exit_event, vmm, &vmm->exit_source);
}

int vmm_start(struct loop *loop, const struct vmm_driver *driver, const struct vmm_spec *spec,
	vmm_exit_fn exited, void *userdata, struct vmm **ret, struct bg_err **err)
{
	struct vmm_process process = {.pidfd = -1, .tap = -1};
	_unref_(vmm) struct vmm *vmm = NULL;
	int r = vmm_new(loop, driver, spec->run_dir, exited, userdata, &vmm);

	if (r < 0)
		return bg_err_sys(
			err, BG_ERR_INTERNAL, -r, "start the VMM of VM \"%s\"", spec->name);
	r = driver->spawn(spec, &process, err);
	vmm->pid = process.pid;
	vmm->pidfd = process.pidfd;
	vmm->tap = process.tap;
	if (r < 0) {
		bg_err_context(err, "start %s for VM \"%s\"", driver->name, spec->name);
		return r;
	}
	/* Not reaped before the watch below, so the pid is still this child's even when it died at
	 * once. */
	r = read_start(vmm->pid, &vmm->pid_start);
	if (r >= 0)
		r = watch(vmm);
	if (r < 0) {
		(void)vmm_signal(vmm, SIGKILL);
		return bg_err_sys(err, BG_ERR_VMM_FAILED, -r, "watch %s of VM \"%s\"", driver->name,
			spec->name);
	}
	*ret = TAKE_PTR(vmm);
	return 0;
}

int vmm_adopt(struct loop *loop, const struct vmm_driver *driver, const char *id,
	const char *run_dir, pid_t pid, uint64_t pid_start, vmm_exit_fn exited, void *userdata,
	struct vmm **ret)
{
	_unref_(vmm) struct vmm *vmm = NULL;
	uint64_t start;
	int r;

	if (pid <= 0)
		return -ESRCH;
	r = vmm_new(loop, driver, run_dir, exited, userdata, &vmm);
	if (r < 0)
		return r;
	vmm->pid = pid;
	vmm->pidfd = pidfd_open(pid, 0);
	if (vmm->pidfd < 0)
		return errno == EINVAL ? -ESRCH : -errno;
	/* Read after the pidfd is held: they describe the process that it holds, or fail. */
	if (read_start(pid, &start) < 0 || start != pid_start || !is_vmm_of(pid, id) ||
		!is_ours(pid))
		return -ESRCH;
	if (pidfd_send_signal(vmm->pidfd, 0, NULL, 0) < 0)
		return -errno;
	vmm->pid_start = start;
	r = watch(vmm);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(vmm);
	return 0;
}

void vmm_free(struct vmm *vmm)
{
	if (!vmm)
		return;
	loop_source_free(vmm->exit_source);
	bg_close(vmm->pidfd);
	bg_close(vmm->tap);
	free(vmm->run_dir);
	free(vmm);
}

pid_t vmm_pid(const struct vmm *vmm)
{
	return vmm->pid;
}

uint64_t vmm_pid_start(const struct vmm *vmm)
{
	return vmm->pid_start;
}

const struct vmm_driver *vmm_driver_of(const struct vmm *vmm)
{
	return vmm->driver;
}

const char *vmm_run_dir(const struct vmm *vmm)
{
	return vmm->run_dir;
}

struct loop *vmm_loop(const struct vmm *vmm)
{
	return vmm->loop;
}

int vmm_signal(struct vmm *vmm, int signo)
{
	if (vmm->driver->holds_term && (signo == SIGTERM || signo == SIGHUP))
		signo = SIGINT;
	return pidfd_send_signal(vmm->pidfd, signo, NULL, 0) < 0 ? -errno : 0;
}

int vmm_send_command(struct vmm *vmm, enum vmm_command command, vmm_done_fn done, void *userdata,
	struct vmm_call **ret, struct bg_err **err)
{
	return vmm->driver->command(vmm, command, done, userdata, ret, err);
}

/* Only ever up: the VMM was started with the size of its largest disk. */
static void raise_file_limit(const struct vmm *vmm, uint64_t bytes)
{
	struct rlimit rl;

	if (vmm->pid <= 0 || prlimit(vmm->pid, RLIMIT_FSIZE, NULL, &rl) < 0 ||
		rl.rlim_cur >= bytes)
		return;
	rl.rlim_cur = BG_MIN((rlim_t)bytes, rl.rlim_max);
	(void)prlimit(vmm->pid, RLIMIT_FSIZE, &rl, NULL);
}

int vmm_resize(struct vmm *vmm, const char *disk, const char *path, uint64_t bytes,
	vmm_done_fn done, void *userdata, struct vmm_call **ret, struct bg_err **err)
{
	raise_file_limit(vmm, bytes);
	return vmm->driver->resize(vmm, disk, path, bytes, done, userdata, ret, err);
}
