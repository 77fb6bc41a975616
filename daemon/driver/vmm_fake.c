/* SPDX-License-Identifier: ISC */
/*
 * The VMM of the tests: a real child process, tests/lib/fake-vmm.c, that plays VMM and guest. Found
 * through the environment only; vmm_probe chooses it when BANGER_FAKE_VMM is set.
 */
#include <fcntl.h>
#include <signal.h>

#include "common/fd.h"
#include "common/sha256.h"
#include "daemon/driver/vmm_impl.h"
#include "daemon/loop/spawn.h"

#define AGENT_SOCKET "agent.sock"

enum { MEMORY_FD = 3 };

/* Words of BANGER_FAKE_BEHAVIOUR that are the driver's, see tests/lib/fake-vmm.c. */
static bool behaves(const char *word)
{
	const char *env = getenv("BANGER_FAKE_BEHAVIOUR");
	const char *at = env ? strstr(env, word) : NULL;

	return at && (at == env || at[-1] == ' ') &&
	       (at[strlen(word)] == '\0' || at[strlen(word)] == ' ');
}

static int fake_spawn(const struct vmm_spec *spec, struct vmm_process *ret, struct bg_err **err)
{
	_argv_ struct argv argv = {0};
	_free_ char *agent = NULL;
	char tag[VMM_TAG_SIZE];
	_close_ int log = -1, memory = -1;
	int r = vmm_socket_path(spec->run_dir, AGENT_SOCKET, &agent, err);

	if (r >= 0)
		r = vmm_clear_socket(spec->run_dir, AGENT_SOCKET, err);
	if (r < 0)
		return r;
	vmm_tag(spec->id, tag);
	argv_add(&argv, "%s", spec->binary);
	argv_add(&argv, "-name");
	argv_add(&argv, "%s", tag);
	argv_add(&argv, "%s", spec->name);
	argv_add(&argv, "%s", agent);
	argv_add(&argv, "%s", spec->serial_log);
	if (!argv_finish(&argv))
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	log = vmm_open_log(spec->vmm_log, err);
	if (log < 0)
		return log;
	memory = spec->kept ? fcntl(spec->kept->memory, F_DUPFD_CLOEXEC, 3)
			    : vmm_make_memory(spec->memory_mib, err);
	if (memory < 0)
		return memory;
	return spawn_process(
		&(struct spawn){
			.path = spec->binary,
			.argv = argv_finish(&argv),
			.fd = {-1, log, log, memory},
			.n_fds = 4,
			.new_session = true,
		},
		&ret->pid, &ret->pidfd, err);
}

static int fake_command(struct vmm *vmm, enum vmm_command command, vmm_done_fn done, void *userdata,
	struct vmm_call **ret, struct bg_err **err)
{
	static const char *const words[] = {
		[VMM_PAUSE] = "no-pause", [VMM_RESUME] = "no-resume", [VMM_QUERY] = "no-query"};

	return vmm_call_defer(
		vmm_loop(vmm), behaves(words[command]) ? EIO : 0, done, userdata, ret, err);
}

static int fake_machine(
	const struct vmm_spec *spec, char ret[VMM_MACHINE_TEXT], struct bg_err **err)
{
	const uint64_t what[] = {spec->vcpus, spec->memory_mib};

	(void)err;
	bg_sha256_hex(what, sizeof(what), ret);
	return 0;
}

static int refuses(const struct vmm *vmm, const char *no, const char *die)
{
	if (behaves(die))
		kill(vmm_pid(vmm), SIGKILL);
	return behaves(die) ? ECONNRESET : behaves(no) ? EIO : 0;
}

static const char state_text[] = "the state of a fake\n";

static int fake_save(struct vmm *vmm, int state, vmm_done_fn done, void *userdata,
	struct vmm_call **ret, struct bg_err **err)
{
	int failure = refuses(vmm, "no-save", "die-save");

	if (pwrite(state, state_text, sizeof(state_text), 0) != (ssize_t)sizeof(state_text))
		failure = EIO;
	return vmm_call_defer(vmm_loop(vmm), failure, done, userdata, ret, err);
}

static int fake_load(struct vmm *vmm, int state, vmm_done_fn done, void *userdata,
	struct vmm_call **ret, struct bg_err **err)
{
	int failure = refuses(vmm, "no-load", "die-load");
	char text[sizeof(state_text)] = "";

	if (pread(state, text, sizeof(text), 0) != (ssize_t)sizeof(text) ||
		memcmp(text, state_text, sizeof(text)) != 0)
		failure = EIO;
	return vmm_call_defer(vmm_loop(vmm), failure, done, userdata, ret, err);
}

static int fake_resize(struct vmm *vmm, const char *disk, const char *path, uint64_t bytes,
	vmm_done_fn done, void *userdata, struct vmm_call **ret, struct bg_err **err)
{
	return vmm_call_defer(vmm_loop(vmm), 0, done, userdata, ret, err);
}

const struct vmm_driver vmm_fake = {
	.name = "fake",
	.agent = "virtio",
	.poweroff = "off",
	.agent_socket = AGENT_SOCKET,
	.reset_ends = true,
	.spawn = fake_spawn,
	.resize = fake_resize,
	.command = fake_command,
	.memory_fd = MEMORY_FD,
	.machine = fake_machine,
	.save = fake_save,
	.load = fake_load,
};
