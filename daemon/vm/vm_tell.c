/* SPDX-License-Identifier: ISC */
/* See vm_tell.h. What the guest writes on its error output is the reason when it fails. */
#include "daemon/vm/vm_tell.h"

#include "common/agent_frame.h"
#include "daemon/engine.h"

static void told(struct vm_task *task, struct bg_err *err)
{
	vm_told_fn done = task->told;

	vm_task_forget(task);
	done(task, err);
}

static void on_late(void *userdata)
{
	struct bg_err *err = NULL;

	bg_err_set(&err, BG_ERR_TIMEOUT, ETIMEDOUT, "its agent did not answer in time");
	told(userdata, err);
}

static void keep_words(struct vm_task *task, const struct bg_agent_frame *frame)
{
	size_t have = strlen(task->said), room = sizeof(task->said) - 1 - have;
	size_t n = BG_MIN((size_t)frame->len, room);

	memcpy(task->said + have, frame->payload, n);
	task->said[have + n] = '\0';
	task->said[strcspn(task->said, "\n")] = '\0';
}

static void on_frame(
	struct guest_stream *stream, const struct bg_agent_frame *frame, void *userdata)
{
	struct vm_task *task = userdata;
	struct bg_agent_done done;
	struct bg_err *err = NULL;

	(void)stream;
	if (frame->type == BG_AGENT_DATA && frame->sub == BG_AGENT_ERR)
		keep_words(task, frame);
	if (frame->type != BG_AGENT_DONE)
		return;
	memcpy(&done, frame->payload, sizeof(done));
	if (done.error || done.status)
		bg_err_set(&err, BG_ERR_AGENT, EIO, "%s",
			*task->said ? task->said : "its agent cannot do that");
	told(task, err);
}

static void on_broken(struct guest_stream *stream, const char *why, void *userdata)
{
	struct bg_err *err = NULL;

	(void)stream;
	bg_err_set(&err, BG_ERR_AGENT, ECONNRESET, "%s", why);
	told(userdata, err);
}

int vm_tell_guest(struct vm_task *task, const struct bg_exec *exec, unsigned seconds,
	vm_told_fn done, struct bg_err **err)
{
	static const struct guest_stream_events events = {.frame = on_frame, .broken = on_broken};
	_free_ uint8_t *payload = NULL;
	size_t len = 0;
	int r;

	if (!task->vm->guest)
		return bg_err_set(err, BG_ERR_AGENT, ENOTCONN, "there is no agent in the guest");
	r = bg_exec_encode(exec, &payload, &len);
	if (r < 0)
		return bg_err_sys(err, BG_ERR_INTERNAL, -r, "ask the guest");
	task->said[0] = '\0';
	task->told = done;
	r = guest_stream_open(task->vm->guest, payload, len, &events, task, &task->stream, err);
	if (r >= 0)
		r = loop_add_timer(task->engine->loop, "vm-tell", seconds * UINT64_C(1000000),
			on_late, task, &task->timer);
	if (r < 0)
		vm_task_forget(task);
	return r;
}
