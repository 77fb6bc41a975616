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
#include "common/program.h"
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

bool vmm_has_balloon(const struct vmm_driver *driver, const char *version)
{
	const unsigned *since = driver->balloon_since;

	return (!since[0] && !since[1]) || bg_version_at_least(version, since[0], since[1]);
}

const char *vmm_guest_disk(enum vmm_disk disk, bool has_base)
{
	static const char *const names[] = {"vda", "vdb", "vdc", "vdd"};

	assert(has_base || disk != VMM_DISK_BASE);
	return names[has_base ? disk : disk - 1];
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

/* By the status file: the owner of /proc/PID is root when the process is not dumpable. 1 or 0, or why it could not be read. */
static int owned(pid_t pid)
{
	_free_ char *text = NULL;
	unsigned uid;
	const char *p;
	int r = read_proc(pid, "status", STAT_MAX * 4, &text, NULL);

	if (r < 0)
		return r;
	p = strstr(text, "\nUid:");
	return p && sscanf(p, "\nUid: %u", &uid) == 1 && uid == getuid();
}

/* The tag among the arguments, after the one that says which driver starts so. 1 or 0, or why it could not be read. */
static int read_tag(pid_t pid, struct vmm_seen *ret)
{
	_free_ char *args = NULL;
	const char *before = "";
	size_t len;
	int r = read_proc(pid, "cmdline", CMDLINE_MAX, &args, &len);

	if (r < 0)
		return r;
	for (const char *p = args; p < args + len; p += strlen(p) + 1) {
		bool named = bg_streq(before, "-name"), id = bg_streq(before, "--id");

		before = p;
		if ((!named && !id) || strncmp(p, VMM_TAG_PREFIX, strlen(VMM_TAG_PREFIX)) != 0 ||
			strlen(p) != strlen(VMM_TAG_PREFIX) + BG_ID_LEN)
			continue;
		snprintf(ret->id, sizeof(ret->id), "%s", p + strlen(VMM_TAG_PREFIX));
		ret->driver = id ? "firecracker" : "qemu";
		return 1;
	}
	return 0;
}

/*
 * The process seen->pid. 1: a VMM of ours. 0: something else, somebody else's, or it has just ended. An error is of this
 * process, which had no descriptor or no memory to look: who takes that for "nothing runs" ends up with two VMMs on a disk.
 */
static int look_at(struct vmm_seen *seen)
{
	int r = read_tag(seen->pid, seen);

	if (r > 0)
		r = owned(seen->pid);
	if (r > 0) {
		r = read_start(seen->pid, &seen->start);
		r = r < 0 ? r : 1;
	}
	return r > 0 || r == -EMFILE || r == -ENFILE || r == -ENOMEM ? r : 0;
}

static int append(struct vmm_seen **list, size_t *n, const struct vmm_seen *one)
{
	struct vmm_seen *more = reallocarray(*list, *n + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	*list = more;
	more[(*n)++] = *one;
	return 0;
}

int vmm_list(struct vmm_seen **ret, size_t *ret_n)
{
	_free_ struct vmm_seen *list = NULL;
	DIR *dir = opendir("/proc");
	const struct dirent *de;
	size_t n = 0;
	int r = dir ? 0 : -errno;

	while (r >= 0 && (de = readdir(dir))) {
		struct vmm_seen one = {.pid = (pid_t)strtol(de->d_name, NULL, 10)};

		r = one.pid > 0 ? look_at(&one) : 0;
		if (r > 0)
			r = append(&list, &n, &one);
	}
	if (dir)
		closedir(dir);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(list);
	*ret_n = n;
	return 0;
}

int vmm_find(const char *id, pid_t *ret_pid, uint64_t *ret_start)
{
	_free_ struct vmm_seen *list = NULL;
	size_t n = 0;
	int r = vmm_list(&list, &n);

	for (size_t i = 0; i < n; i++)
		if (bg_streq(list[i].id, id)) {
			*ret_pid = list[i].pid;
			*ret_start = list[i].start;
			return 0;
		}
	return r < 0 ? r : -ESRCH;
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
	struct vmm_seen seen = {.pid = pid};
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
	r = look_at(&seen);
	if (r < 0)
		return r;
	if (r == 0 || seen.start != pid_start || !bg_streq(seen.id, id))
		return -ESRCH;
	if (pidfd_send_signal(vmm->pidfd, 0, NULL, 0) < 0)
		return -errno;
	vmm->pid_start = pid_start;
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

/* By /proc, so that an adopted VMM is not a special case. */
int vmm_open_memory(const struct vmm *vmm, uint64_t mib)
{
	_close_ int fd = -1;
	char path[64];
	struct stat st;

	if (vmm->driver->why_not_keep)
		return -ENOTSUP;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)vmm->pid, vmm->driver->memory_fd);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0)
		return errno == ENOENT || errno == ENXIO ? -ENOTSUP : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_nlink != 0 || (uint64_t)st.st_size != mib * MIB)
		return -ENOTSUP;
	return TAKE_FD(fd);
}

int vmm_save(struct vmm *vmm, int state, vmm_done_fn done, void *userdata, struct vmm_call **ret,
	struct bg_err **err)
{
	return vmm->driver->save(vmm, state, done, userdata, ret, err);
}

int vmm_load(struct vmm *vmm, int state, vmm_done_fn done, void *userdata, struct vmm_call **ret,
	struct bg_err **err)
{
	return vmm->driver->load(vmm, state, done, userdata, ret, err);
}

/* Only ever up: the VMM was started with the size of its largest disk. */
static void raise_file_limit(const struct vmm *vmm, uint64_t bytes)
{
	struct rlimit rl;

	if (vmm->pid <= 0 || prlimit(vmm->pid, RLIMIT_FSIZE, NULL, &rl) < 0 || rl.rlim_cur >= bytes)
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
