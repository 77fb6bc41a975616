/* SPDX-License-Identifier: ISC */
/* POST /v1/vms/{name}/exec: the body into a request for the agent; the session is exec_relay.c's.
 */
#include <assert.h>

#include "common/agent_exec.h"
#include "common/json.h"
#include "daemon/api/api.h"
#include "daemon/api/api_util.h"
#include "daemon/driver/guest.h"
#include "daemon/engine.h"
#include "daemon/exec_kept.h"
#include "daemon/exec_relay.h"
#include "daemon/http/websocket.h"

static const char *const kinds[] = {
	[BG_AGENT_K_RUN] = "run",
	[BG_AGENT_K_PACK] = "pack",
	[BG_AGENT_K_UNPACK] = "unpack",
	[BG_AGENT_K_UNPACK_INTO] = "unpack-into",
	[BG_AGENT_K_CONNECT] = "connect",
	[BG_AGENT_K_PORTS] = "ports",
	[BG_AGENT_K_STATS] = "stats",
	[BG_AGENT_K_WORKSPACE] = "workspace",
	[BG_AGENT_K_NAME] = NULL,   /* of `vm set` alone, as is GROW */
	[BG_AGENT_K_EXPOSE] = NULL, /* of --expose-host, as is the next */
	[BG_AGENT_K_ACCEPT] = NULL,
};
static_assert(ARRAY_SIZE(kinds) == BG_AGENT_K_MAX_, "one word per kind");

/* A list of strings; *ret is the caller's, what it points to the body's. */
static int take_list(const json_t *body, const char *key, const char ***ret, struct bg_err **err)
{
	const json_t *array = json_object_get(body, key), *item;
	const char **list = calloc(json_array_size(array) + 1, sizeof(*list));
	size_t i;

	if (!list)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	json_array_foreach (array, i, item)
		list[i] = json_string_value(item);
	*ret = list;
	return 0;
}

static int check_env(const char *const *env, struct bg_err **err)
{
	for (; *env; env++)
		if (!strchr(*env, '=') || **env == '=')
			return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL,
				"environment: \"%.60s\" is not NAME=VALUE", *env);
	return 0;
}

static enum bg_agent_kind kind_of(const json_t *body)
{
	const char *word = api_str(body, "kind");

	for (size_t i = 0; word && i < ARRAY_SIZE(kinds); i++)
		if (bg_streq(kinds[i], word))
			return (enum bg_agent_kind)i;
	return BG_AGENT_K_RUN;
}

static int take_exec(const json_t *body, struct bg_exec *exec, const char ***argv,
	const char ***env, struct bg_err **err)
{
	int r = take_list(body, "argv", argv, err);

	if (r >= 0)
		r = take_list(body, "env", env, err);
	if (r < 0)
		return r;
	*exec = (struct bg_exec){.kind = kind_of(body),
		.flags = (api_bool(body, "tty", false) ? BG_AGENT_X_TTY : 0) |
			 (api_bool(body, "words", false) ? BG_AGENT_X_WORDS : 0),
		.rows = (uint16_t)api_int(body, "rows", 24),
		.cols = (uint16_t)api_int(body, "cols", 80),
		.timeout_ms = (uint32_t)api_int(body, "timeout_ms", 0),
		.user = api_str(body, "user"),
		.workdir = api_str(body, "workdir"),
		.argv = *argv,
		.env = *env};
	return check_env(exec->env, err);
}

static int check_vm(const struct vm *vm, struct bg_err **err)
{
	const char *name = vm->row->name;
	enum vm_state state = (enum vm_state)vm->row->state;
	int r;

	if (state == VM_PAUSED || state == VM_SUSPENDING || state == VM_SUSPENDED) {
		r = bg_err_set(
			err, BG_ERR_VM_STATE, EINVAL, "VM \"%s\" is %s", name, vm_state_str(state));
		bg_err_hint(err, "let it go on first: `banger vm resume %s`", name);
		return r;
	}
	if (vm->vmm && vm->vmm_silent) {
		r = bg_err_set(err, BG_ERR_VM_NOT_READY, EAGAIN,
			"the VMM of VM \"%s\" does not answer", name);
		bg_err_hint(err, "is its process %lld stopped? `banger vm kill %s` ends it",
			(long long)vm->row->pid, name);
		return r;
	}
	if (vm->guest && guest_connected(vm->guest))
		return 0;
	if (vm->guest) {
		r = bg_err_set(err, BG_ERR_VM_NOT_READY, EAGAIN,
			"the agent in VM \"%s\" does not answer yet", name);
		bg_err_hint(err, "see how far it got: `banger vm logs %s`", name);
		return r;
	}
	r = bg_err_set(err, BG_ERR_VM_STATE, EINVAL, "VM \"%s\" is %s", name, vm_state_str(state));
	if (state == VM_STOPPED)
		bg_err_hint(err, "start it first: `banger vm start %s`", name);
	return r;
}

static bool has_name_of(const char *const *env, const char *text)
{
	size_t n = strcspn(text, "=") + 1;

	for (; *env; env++)
		if (strncmp(*env, text, n) == 0)
			return true;
	return false;
}

/*
 * What a container image wants for its commands, each unless the request has its own. *memory owns
 * the strings, *list what exec->env is then.
 */
static int add_image_env(const struct vm *vm, struct bg_exec *exec, json_t **memory,
	const char ***list, struct bg_err **err)
{
	const struct image_row *image = images_find(vm->engine->images, vm->row->image);
	const json_t *item;
	size_t n = 0, i;

	*memory = image && exec->kind == BG_AGENT_K_RUN ? image_env(image) : NULL;
	if (!*memory)
		return 0;
	for (i = 0; exec->env[i];)
		i++;
	*list = calloc(json_array_size(*memory) + i + 1, sizeof(**list));
	if (!*list)
		return bg_err_set(err, BG_ERR_INTERNAL, ENOMEM, "out of memory");
	json_array_foreach (*memory, i, item)
		if (!has_name_of(exec->env, json_string_value(item)))
			(*list)[n++] = json_string_value(item);
	for (i = 0; exec->env[i]; i++)
		(*list)[n++] = exec->env[i];
	exec->env = *list;
	return 0;
}

/* ws: of a WebSocket, or NULL. */
static void start(
	struct http_call *call, struct engine *engine, const json_t *body, const struct exec_ws *ws)
{
	_free_ const char **argv = NULL, **env = NULL, **all = NULL;
	_json_ json_t *memory = NULL;
	struct bg_exec exec = {.user = NULL};
	struct bg_err *err = NULL;
	struct vm *vm = NULL;

	if (take_exec(body, &exec, &argv, &env, &err) < 0 ||
		vms_get(engine->vms, http_call_arg(call), &vm, &err) < 0 ||
		check_vm(vm, &err) < 0 || add_image_env(vm, &exec, &memory, &all, &err) < 0)
		http_reply_error(call, err);
	else
		exec_relay_start(engine, call, vm->guest, &exec, ws);
}

void api_vm_exec(struct http_call *call, struct engine *engine)
{
	start(call, engine, http_call_body(call), NULL);
}

/* The query as vm_exec's body has it. */
static json_t *terminal_body(const struct http_call *call)
{
	const char *command = http_call_query(call, "command"),
		   *user = http_call_query(call, "user");
	const char *rows = http_call_query(call, "rows"), *cols = http_call_query(call, "cols");
	json_t *body = json_pack("{s:b, s:[s]}", "tty", 1, "env", "TERM=xterm-256color");

	if (command)
		json_object_set_new(body, "argv", json_pack("[sss]", "/bin/sh", "-c", command));
	if (!bg_isempty(user))
		json_object_set_new(body, "user", json_string(user));
	if (rows)
		json_object_set_new(body, "rows", json_integer(strtol(rows, NULL, 10)));
	if (cols)
		json_object_set_new(body, "cols", json_integer(strtol(cols, NULL, 10)));
	return body;
}

static int take_keep(const struct http_call *call, struct exec_ws *ws, struct bg_err **err)
{
	const char *seen = http_call_query(call, "seen");

	ws->keep = http_call_query(call, "keep");
	ws->seen = seen ? strtoull(seen, NULL, 10) : 0;
	if (ws->keep && !exec_kept_id_valid(ws->keep))
		return bg_err_set(err, BG_ERR_BAD_REQUEST, EINVAL,
			"\"keep\" is %d hex digits, made up by the client", EXEC_KEPT_ID);
	return 0;
}

void api_vm_terminal(struct http_call *call, struct engine *engine)
{
	_json_ json_t *body = terminal_body(call);
	char accept[WS_ANSWER_MAX];
	struct exec_ws ws = {.accept = accept};
	struct bg_err *err = NULL;

	if (take_keep(call, &ws, &err) < 0 || ws_accept(call, accept, &err) < 0)
		http_reply_error(call, err);
	else
		start(call, engine, body, &ws);
}
