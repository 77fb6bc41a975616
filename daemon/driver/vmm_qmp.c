/* SPDX-License-Identifier: ISC */
/* QEMU's control protocol, a line of JSON each: what every dialog with it has in common. See vmm_impl.h. */
#include <jansson.h>

#include "common/json.h"
#include "daemon/driver/vmm_impl.h"

/* 1: the dialog is done; 0: another line; <0: *err. */
static int take_line(
	struct vmm_call *call, const char *line, size_t len, vmm_qmp_fn fn, struct bg_err **err)
{
	_json_ json_t *msg = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *error = json_object_get(msg, "error");
	const char *text = "no reason given";
	int r;

	if (!json_is_object(msg))
		return bg_err_set(
			err, BG_ERR_VMM_FAILED, EPROTO, "QEMU's control socket speaks no QMP");
	if (json_object_get(msg, "QMP")) {
		r = vmm_call_send_request(call);
		return r < 0 ? bg_err_sys(
				       err, BG_ERR_VMM_FAILED, -r, "write to QEMU's control socket")
			     : 0;
	}
	if (error) {
		(void)bg_json_get_str(error, "desc", &text);
		return bg_err_set(err, BG_ERR_VMM_FAILED, EIO, "QEMU refused a command: %s", text);
	}
	return fn(msg, err);
}

int vmm_qmp_lines(struct vmm_call *call, const char *input, size_t len, size_t *ret_consumed,
	vmm_qmp_fn fn, struct bg_err **err)
{
	size_t at = 0;

	for (;;) {
		const char *end = memchr(input + at, '\n', len - at);
		int r;

		if (!end)
			break;
		r = take_line(call, input + at, (size_t)(end - input) - at, fn, err);
		if (r != 0)
			return r;
		at = (size_t)(end - input) + 1;
	}
	*ret_consumed = at;
	return 0;
}
