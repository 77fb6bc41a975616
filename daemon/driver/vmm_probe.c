/* SPDX-License-Identifier: ISC */
/*
 * Which VMM this host can use. One child at a time answers one question into a pipe: a fork that
 * runs a micro guest under KVM, then "firecracker --version" or "qemu --version". Each is killed at
 * its deadline.
 */
#include <assert.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "common/fd.h"
#include "common/program.h"
#include "daemon/driver/vmm_impl.h"
#include "daemon/loop/spawn.h"
#include "host/config.h"
#include "host/kvm_probe.h"

enum { VERSION_DEADLINE_USEC = 30 * 1000 * 1000, ANSWER_MAX = 1024 };

#define FAKE_ENV "BANGER_FAKE_VMM"

enum probe_step {
	STEP_KVM,	  /* the micro guest */
	STEP_FIRECRACKER, /* --version of firecracker_bin */
	STEP_QEMU,	  /* --version of qemu_bin */
	STEP_DONE,
};

struct vmm_probe {
	struct loop *loop;
	enum config_vmm wanted;
	char *firecracker_bin, *qemu_bin;
	enum probe_step step;
	bool kvm;	    /* runs guests */
	char kvm_text[160]; /* why, or why not */
	char fc_text[160];  /* why there is no Firecracker */
	char *path;	    /* of the binary that is asked for its version */
	/* the child */
	pid_t pid;
	int pidfd, pipe;
	bool late;
	struct loop_source *exit, *deadline; /* deadline: also the first turn */
	struct vmm_choice choice;
	vmm_probe_fn done;
	void *userdata;
};

static void next_step(struct vmm_probe *probe);

static void child_done(struct vmm_probe *probe)
{
	loop_source_free(probe->exit);
	loop_source_free(probe->deadline);
	probe->exit = probe->deadline = NULL;
	probe->pidfd = bg_close(probe->pidfd);
	probe->pipe = bg_close(probe->pipe);
	probe->late = false;
}

static void finish(struct vmm_probe *probe)
{
	child_done(probe);
	probe->step = STEP_DONE;
	probe->done(&probe->choice, probe->userdata);
}

static void out_of_memory(struct vmm_probe *probe)
{
	bg_err_set(&probe->choice.err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	finish(probe);
}

static void on_deadline(void *userdata)
{
	struct vmm_probe *probe = userdata;

	probe->late = true;
	(void)pidfd_send_signal(probe->pidfd, SIGKILL, NULL, 0);
}

static int watch_child(struct vmm_probe *probe, uint64_t deadline_usec, loop_exit_fn fn)
{
	int r = loop_add_exit(
		probe->loop, "vmm probe", probe->pid, probe->pidfd, fn, probe, &probe->exit);

	if (r >= 0)
		r = loop_add_timer(probe->loop, "vmm probe deadline", deadline_usec, on_deadline,
			probe, &probe->deadline);
	if (r < 0)
		(void)pidfd_send_signal(probe->pidfd, SIGKILL, NULL, 0);
	return r;
}

/* The child has ended: all it wrote is in the pipe, which it cannot have overfilled. */
static size_t read_answer(const struct vmm_probe *probe, void *buf, size_t size)
{
	ssize_t n = read(probe->pipe, buf, size);

	return n > 0 ? (size_t)n : 0;
}

static void choose(struct vmm_probe *probe, const struct vmm_driver *driver, enum vmm_accel accel,
	const char *version, char *reason)
{
	probe->choice.driver = driver;
	probe->choice.accel = accel;
	probe->choice.binary = TAKE_PTR(probe->path);
	probe->choice.version = strdup(version);
	probe->choice.reason = reason;
	if (!probe->choice.binary || !probe->choice.version || !reason) {
		probe->choice.driver = NULL;
		out_of_memory(probe);
		return;
	}
	finish(probe);
}

static char *firecracker_reason(const struct vmm_probe *probe)
{
	char *reason = NULL;

	return asprintf(&reason, "Firecracker: %s", probe->kvm_text) < 0 ? NULL : reason;
}

static char *qemu_reason(const struct vmm_probe *probe)
{
	const char *head = probe->kvm ? "QEMU with KVM" : "QEMU in software";
	const char *why = probe->kvm ? probe->fc_text : probe->kvm_text;
	char *reason = NULL;

	if (probe->kvm && probe->wanted == CONFIG_VMM_QEMU)
		why = "config.toml says vmm = \"qemu\"";
	return asprintf(&reason, "%s: %s", head, why) < 0 ? NULL : reason;
}

/* "Firecracker v1.7.0" and "QEMU emulator version 7.2.22 (Debian …)": the first word that starts as
 * a number does. */
static bool parse_version(char *text, char **ret)
{
	char *save = NULL;

	text[strcspn(text, "\n")] = '\0';
	for (char *word = strtok_r(text, " ", &save); word; word = strtok_r(NULL, " ", &save)) {
		if (*word == 'v')
			word++;
		if (*word >= '0' && *word <= '9') {
			*ret = word;
			return true;
		}
	}
	return false;
}

static void no_firecracker(struct vmm_probe *probe)
{
	free(probe->path);
	probe->path = NULL;
	if (probe->wanted == CONFIG_VMM_AUTO) {
		probe->step = STEP_QEMU;
		next_step(probe);
		return;
	}
	bg_err_set(&probe->choice.err, BG_ERR_VMM_MISSING, ENOENT,
		"config.toml says vmm = \"firecracker\", and %s",
		probe->kvm ? probe->fc_text : probe->kvm_text);
	bg_err_hint(&probe->choice.err, "say vmm = \"auto\" to fall back to QEMU");
	finish(probe);
}

static void no_qemu(struct vmm_probe *probe, const char *why)
{
	bg_err_set(&probe->choice.err, BG_ERR_VMM_MISSING, ENOENT, "%s %s", probe->qemu_bin, why);
	finish(probe);
}

static void on_version(pid_t pid, int status, void *userdata)
{
	struct vmm_probe *probe = userdata;
	char text[ANSWER_MAX + 1], *version;
	size_t n = read_answer(probe, text, ANSWER_MAX);
	const char *why = probe->late ? "does not answer --version" : "cannot say its --version";
	bool ok;

	text[n] = '\0';
	ok = !probe->late && status == 0 && parse_version(text, &version);
	child_done(probe);
	if (ok && probe->step == STEP_FIRECRACKER) {
		choose(probe, &vmm_firecracker, VMM_ACCEL_KVM, version, firecracker_reason(probe));
	} else if (ok) {
		choose(probe, &vmm_qemu, probe->kvm ? VMM_ACCEL_KVM : VMM_ACCEL_TCG, version,
			qemu_reason(probe));
	} else if (probe->step == STEP_FIRECRACKER) {
		snprintf(probe->fc_text, sizeof(probe->fc_text), "%.120s %s", probe->path, why);
		no_firecracker(probe);
	} else {
		no_qemu(probe, why);
	}
}

static int start_version(struct vmm_probe *probe)
{
	const char *const argv[] = {probe->path, "--version", NULL};
	_close_ int out = -1;
	struct spawn spawn = {.path = probe->path,
		.argv = argv,
		.fd = {-1, -1, -1},
		.n_fds = 3,
		.new_session = true};
	int ends[2], r;

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	probe->pipe = ends[0];
	out = ends[1];
	(void)bg_set_nonblock(out, false);
	spawn.fd[1] = out;
	r = spawn_process(&spawn, &probe->pid, &probe->pidfd, NULL);
	return r < 0 ? r : watch_child(probe, VERSION_DEADLINE_USEC, on_version);
}

static void step_firecracker(struct vmm_probe *probe)
{
	if (probe->kvm && bg_program_find(probe->firecracker_bin, &probe->path) >= 0) {
		if (start_version(probe) >= 0)
			return;
		child_done(probe);
	}
	snprintf(probe->fc_text, sizeof(probe->fc_text),
		strchr(probe->firecracker_bin, '/') ? "%.120s is not there"
						    : "%.120s is not in PATH",
		probe->firecracker_bin);
	no_firecracker(probe);
}

static void step_qemu(struct vmm_probe *probe)
{
	if (bg_program_find(probe->qemu_bin, &probe->path) >= 0) {
		if (start_version(probe) >= 0)
			return;
		child_done(probe);
		no_qemu(probe, "cannot be started");
		return;
	}
	no_qemu(probe, strchr(probe->qemu_bin, '/') ? "is not there" : "is not in PATH");
}

static void after_kvm(struct vmm_probe *probe, const struct kvm_verdict *verdict)
{
	probe->kvm = kvm_verdict_explain(verdict, probe->kvm_text, sizeof(probe->kvm_text));
	probe->step = probe->wanted == CONFIG_VMM_QEMU ? STEP_QEMU : STEP_FIRECRACKER;
	next_step(probe);
}

static void on_kvm(pid_t pid, int status, void *userdata)
{
	struct vmm_probe *probe = userdata;
	struct kvm_verdict verdict = {.error = ECHILD, .step = KVM_STEP_MAX_};

	if (read_answer(probe, &verdict, sizeof(verdict)) != sizeof(verdict))
		verdict.error = probe->late ? ETIMEDOUT : ECHILD;
	child_done(probe);
	after_kvm(probe, &verdict);
}

/* After a fork: system calls only. */
_noreturn_ static void kvm_child(int out)
{
	struct kvm_verdict verdict;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)dup2(out, STDIN_FILENO);
	(void)close_range(STDERR_FILENO + 1, ~0U, 0);
	kvm_probe_run(&verdict);
	(void)bg_write_all(STDIN_FILENO, &verdict, sizeof(verdict));
	_exit(0);
}

static int start_kvm(struct vmm_probe *probe)
{
	_close_ int out = -1;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	probe->pipe = ends[0];
	out = ends[1];
	probe->pid = fork();
	if (probe->pid < 0)
		return -errno;
	if (probe->pid == 0)
		kvm_child(out);
	probe->pidfd = pidfd_open(probe->pid, 0);
	if (probe->pidfd < 0) {
		(void)kill(probe->pid, SIGKILL);
		return -errno;
	}
	return watch_child(probe, KVM_PROBE_DEADLINE_USEC, on_kvm);
}

static void step_kvm(struct vmm_probe *probe)
{
	struct kvm_verdict verdict = {.step = KVM_STEP_MAX_};
	int r = start_kvm(probe);

	if (r >= 0)
		return;
	child_done(probe);
	verdict.error = -r;
	after_kvm(probe, &verdict);
}

static void use_fake(struct vmm_probe *probe, const char *path)
{
	probe->path = strdup(path);
	choose(probe, &vmm_fake, VMM_ACCEL_TCG, "0", strdup("fake: " FAKE_ENV " is set"));
}

static void next_step(struct vmm_probe *probe)
{
	switch (probe->step) {
	case STEP_KVM:
		step_kvm(probe);
		return;
	case STEP_FIRECRACKER:
		step_firecracker(probe);
		return;
	case STEP_QEMU:
		step_qemu(probe);
		return;
	case STEP_DONE:
		break;
	}
	assert(!"no step after the last");
}

static void on_begin(void *userdata)
{
	struct vmm_probe *probe = userdata;
	const char *fake = getenv(FAKE_ENV);

	loop_source_free(probe->deadline);
	probe->deadline = NULL;
	if (!bg_isempty(fake))
		use_fake(probe, fake);
	else
		next_step(probe);
}

int vmm_probe_start(struct loop *loop, const struct config *config, vmm_probe_fn done,
	void *userdata, struct vmm_probe **ret, struct bg_err **err)
{
	_unref_(vmm_probe) struct vmm_probe *probe = calloc(1, sizeof(*probe));

	if (!probe)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	*probe = (struct vmm_probe){.loop = loop,
		.wanted = config->vmm,
		.step = STEP_KVM,
		.pidfd = -1,
		.pipe = -1,
		.done = done,
		.userdata = userdata};
	probe->firecracker_bin = strdup(config->firecracker_bin);
	probe->qemu_bin = strdup(config->qemu_bin);
	if (!probe->firecracker_bin || !probe->qemu_bin ||
		loop_defer(loop, "vmm probe", on_begin, probe, &probe->deadline) < 0)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	vmm_tsc_begin();
	*ret = TAKE_PTR(probe);
	return 0;
}

const struct vmm_choice *vmm_probe_choice(const struct vmm_probe *probe)
{
	return probe->step == STEP_DONE ? &probe->choice : NULL;
}

void vmm_probe_free(struct vmm_probe *probe)
{
	if (!probe)
		return;
	if (probe->pidfd >= 0 && probe->exit) {
		(void)pidfd_send_signal(probe->pidfd, SIGKILL, NULL, 0);
		(void)waitid(P_PIDFD, (id_t)probe->pidfd, NULL, WEXITED | WNOHANG);
	}
	child_done(probe);
	free(probe->firecracker_bin);
	free(probe->qemu_bin);
	free(probe->path);
	free(probe->choice.binary);
	free(probe->choice.version);
	free(probe->choice.reason);
	bg_err_free(probe->choice.err);
	free(probe);
}
