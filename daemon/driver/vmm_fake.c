/* SPDX-License-Identifier: ISC */
/*
 * The VMM of the tests: a real child process, tests/lib/fake-vmm.c, that plays VMM and guest. Found
 * through the environment only; vmm_probe chooses it when BANGER_FAKE_VMM is set.
 */
#include "daemon/driver/vmm_impl.h"
#include "daemon/loop/spawn.h"

#define AGENT_SOCKET "agent.sock"

static int fake_spawn(const struct vmm_spec *spec, struct vmm_process *ret, struct bg_err **err)
{
	_argv_ struct argv argv = {0};
	_free_ char *agent = NULL;
	char tag[VMM_TAG_SIZE];
	_close_ int log = -1;
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
	return spawn_process(
		&(struct spawn){
			.path = spec->binary,
			.argv = argv_finish(&argv),
			.fd = {-1, log, log},
			.n_fds = 3,
			.new_session = true,
		},
		&ret->pid, &ret->pidfd, err);
}

static int fake_command(struct vmm *vmm, enum vmm_command command, vmm_done_fn done, void *userdata,
	struct vmm_call **ret, struct bg_err **err)
{
	return vmm_call_defer(vmm_loop(vmm), done, userdata, ret, err);
}

static int fake_resize(struct vmm *vmm, const char *disk, const char *path, uint64_t bytes,
	vmm_done_fn done, void *userdata, struct vmm_call **ret, struct bg_err **err)
{
	return vmm_call_defer(vmm_loop(vmm), done, userdata, ret, err);
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
};
