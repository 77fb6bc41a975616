/* SPDX-License-Identifier: ISC */
/*
 * QEMU's part of suspend and resume: its migration, with the guest's memory left out of it (that is
 * a file which both ends have, vmm_make_memory) and the rest through a descriptor that is handed
 * over. So it neither starts a program nor opens a path, which its seal would not let it.
 *
 * A descriptor of a plain file: QEMU from 9.1 on says that it would rather have a name, and takes it.
 */
#include <assert.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "common/json.h"
#include "common/sha256.h"
#include "daemon/driver/vmm_impl.h"

/* A busy host: it took 20 ms on a quiet one. */
#define KEEP_USEC (120 * UINT64_C(1000000))

/* What a guest does not see, or sees again at its next boot only. */
static bool is_of_no_account(const char *option)
{
	static const char *const options[] = {"-name", "-kernel", "-initrd", "-append", "-object"};

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		if (bg_streq(options[i], option))
			return true;
	return false;
}

int vmm_qemu_machine(const struct vmm_spec *spec, char ret[VMM_MACHINE_TEXT], struct bg_err **err)
{
	struct vmm_spec cold = *spec;
	_argv_ struct argv argv = {0};
	struct bg_sha256 sum;
	int r;

	cold.kept = NULL;
	r = vmm_qemu_argv(&cold, &argv, err);
	if (r < 0)
		return r;
	bg_sha256_init(&sum);
	for (size_t i = 1; i < argv.n; i++) { /* 0: the program, which has a digest of its own */
		bg_sha256_add(&sum, argv.v[i], strlen(argv.v[i]) + 1);
		i += is_of_no_account(argv.v[i]);
	}
	bg_sha256_end(&sum, ret);
	return 0;
}

static_assert(BG_SHA256_HEX == VMM_MACHINE_TEXT, "a digest");

static int is_migrated(const json_t *msg, struct bg_err **err)
{
	const char *event = NULL, *status = NULL;

	(void)bg_json_get_str(msg, "event", &event);
	if (!bg_streq(event, "MIGRATION"))
		return 0;
	(void)bg_json_get_str(json_object_get(msg, "data"), "status", &status);
	if (bg_streq(status, "failed") || bg_streq(status, "cancelled"))
		return bg_err_set(err, BG_ERR_VMM_FAILED, EIO, "QEMU could not do it; see its log");
	return bg_streq(status, "completed") ? 1 : 0;
}

static int keep_answer(struct vmm_call *call, const char *input, size_t len, size_t *ret_consumed,
	struct bg_err **err)
{
	return vmm_qmp_lines(call, input, len, ret_consumed, is_migrated, err);
}

static const struct vmm_dialog keep_dialog = {
	.socket = VMM_QMP_SOCKET, .usec = KEEP_USEC, .answer = keep_answer};

/* The descriptor belongs to the connection that it came by, so all of it goes by one. */
static int migrate(struct vmm *vmm, const char *command, int state, vmm_done_fn done,
	void *userdata, struct vmm_call **ret, struct bg_err **err)
{
	_unref_(vmm_call) struct vmm_call *call = NULL;
	char *request = NULL;
	int r;

	if (asprintf(&request,
		    "{\"execute\":\"qmp_capabilities\"}\n"
		    "{\"execute\":\"migrate-set-capabilities\",\"arguments\":{\"capabilities\":["
		    "{\"capability\":\"x-ignore-shared\",\"state\":true},"
		    "{\"capability\":\"events\",\"state\":true}]}}\n"
		    "{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"state\"}}\n"
		    "{\"execute\":\"%s\",\"arguments\":{\"uri\":\"fd:state\"}}\n",
		    command) < 0)
		request = NULL;
	r = vmm_call_start(
		vmm_loop(vmm), vmm_run_dir(vmm), &keep_dialog, request, done, userdata, &call, err);
	if (r < 0)
		return r;
	r = vmm_call_give(call, state);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "hand on a descriptor");
	*ret = TAKE_PTR(call);
	return 0;
}

int vmm_qemu_save(struct vmm *vmm, int state, vmm_done_fn done, void *userdata,
	struct vmm_call **ret, struct bg_err **err)
{
	return migrate(vmm, "migrate", state, done, userdata, ret, err);
}

int vmm_qemu_load(struct vmm *vmm, int state, vmm_done_fn done, void *userdata,
	struct vmm_call **ret, struct bg_err **err)
{
	return migrate(vmm, "migrate-incoming", state, done, userdata, ret, err);
}
